"""Densities on the grid, computed once per species and stored: what a fit sees of a molecule.

`training.scf` makes the density,
`training.density` the record, `training.record` stores it, `training.build` does so for many. This module is where the
rest of the training finds them.
"""

from training.build import SomeFailed, build
from training.density import compute, record_of
from training.record import OMEGAS, STANDARD, MissingRecord, NotWritten, Record, Settings, load, record_path, save

__all__ = ["OMEGAS", "STANDARD", "MissingRecord", "NotWritten", "Record", "Settings", "SomeFailed", "build", "compute",
           "load", "record_of", "record_path", "save"]
