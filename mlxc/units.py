"""Conversion factors of labels, reports and printed tables; everything inside is in Hartree atomic units."""

from pyscf.data.nist import HARTREE2EV as EV

#: kcal/mol in a hartree (CODATA 2018).
KCAL = 627.5094740631

#: Units that labels come in, per hartree.
ENERGY = {"kcal/mol": KCAL, "Ha": 1.0, "eV": EV, "kJ/mol": 4.184 * KCAL}
