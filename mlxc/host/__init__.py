"""The border to PySCF: `seam` (functionals by name), `arrays`, `dispersion` (D4), `ks` (Kohn–Sham objects).

Local exact exchange: `exchange` (energy density and Fock matrix), from `fitting`, `orbitals` and `points`.
"""
