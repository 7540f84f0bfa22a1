"""Conversion factors of reports and printed tables; everything inside is in Hartree atomic units."""

#: kcal/mol in a hartree (CODATA 2018).
KCAL = 627.5094740631
