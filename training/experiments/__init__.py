"""Experiments: questions about training, each answered by one command."""
