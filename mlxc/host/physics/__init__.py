"""Constraints that only a self-consistent calculation shows; they complete `mlxc.xc.constraints`.

| file | laws |
|---|---|
| one_electron | Hartree–Fock for the molecules of one electron: energy, Fock matrix, excitation |
| hydrogen | the same for 1s, 2p and 3d of any nuclear charge, and for a fraction of an electron |
| tail | the potential tends to −1/r |
| fragments | energies of separated fragments add up |
| symmetry | spins and directions in space are equivalent |
| forces | they are the derivative of the energy |
| anions | the last electron of small anions is bound |

A law that holds whatever the weights are holds on any grid and in any basis: the measures take small ones, and ignore
what the functional was trained on. A calculation that does not converge counts as a violation (NaN).
"""

from mlxc.host.physics import anions, forces, fragments, hydrogen, one_electron, symmetry, tail

__all__ = ["CONSTRAINTS"]

CONSTRAINTS = (*one_electron.CONSTRAINTS, *hydrogen.CONSTRAINTS, *tail.CONSTRAINTS, *fragments.CONSTRAINTS,
               *symmetry.CONSTRAINTS, *forces.CONSTRAINTS, *anions.CONSTRAINTS)
