"""The border to PySCF: `seam` (functionals by name), `arrays`, `dispersion` (D4), `ks` (Kohn–Sham objects)."""
