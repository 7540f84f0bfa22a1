"""Trains mlxc's functionals: reference data to a model file. Nothing in mlxc imports it."""
