"""Densities on the grid, computed once per species and stored: what the fit sees of a molecule.

A record holds, per grid point, the weight and the scalar density variables; and per species the energy without XC,
the exact exchange of the full and of the long-range Coulomb operator at several ω; and per grid point, for each ω, the
short-range exact exchange as an energy density, which local hybrids need. One HDF5 file per species, named
by a hash of everything that determines it and written under a temporary name, so that building can be killed and
resumed at any time, and run by several processes at once.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np
from pyscf import dft, gto

from mlxc.host.exchange import LocalExchange
from training.data import Species

#: Range-separation parameters whose exact exchange is stored, bohr⁻¹.
OMEGAS = (0.3, 0.4)


@dataclass(frozen=True)
class Settings:
    """How densities are made; part of every record's hash.

    Attributes:
        xc: functional of the densities; one that binds anions. One-electron systems use Hartree–Fock.
        scf_grid, grid: PySCF grid levels of the SCF and of the stored features.
        density_fit_above, auxbasis: number of orbitals above which J and K are density-fitted, and in which basis.
        conv_tol: SCF convergence, Ha.
        cutoff: points with weight · density below it are dropped, electrons.
    """

    xc: str = "wb97x"
    scf_grid: int = 1
    grid: int = 2
    density_fit_above: int = 80
    auxbasis: str = "def2-universal-jkfit"
    conv_tol: float = 1e-8
    cutoff: float = 1e-9


#: The settings of the shipped models' training.
STANDARD = Settings()


@dataclass(frozen=True)
class Record:
    """Stored features of one species, atomic units.

    Attributes:
        weights: (n,) grid weights.
        variables: (3, n) n, σ, τ for closed shells, else (7, n) as PySCF's spin-resolved order.
        e_rest: energy without exchange and correlation, Ha.
        ex_full: exact exchange energy.
        ex_lr: {ω: long-range exact exchange energy}.
        ex_sr: {ω: (1 or 2, n) short-range exact exchange e_xσ^SR per volume; of one spin for closed shells}.
        converged: SCF convergence.
        lost_electrons: electrons at the dropped points.
    """

    weights: np.ndarray
    variables: np.ndarray
    e_rest: float
    ex_full: float
    ex_lr: dict[float, float]
    ex_sr: dict[float, np.ndarray]
    converged: bool
    lost_electrons: float
    e_scf: float


def record_path(folder: Path, species: Species, settings: Settings) -> Path:
    """File of a species: the hash covers geometry, occupation, basis and settings."""
    text = json.dumps([asdict(species), asdict(settings), OMEGAS], sort_keys=True)
    return Path(folder) / f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.h5"


def build(species: dict[str, Species], folder: Path, settings: Settings = STANDARD, part=(0, 1)):
    """Computes the records that are missing, cheap species first.

    Args:
        species: by key.
        folder: where the HDF5 files go.
        settings: see Settings.
        part: (k, m): this process does every m-th species from the k-th.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    ordered = sorted(species.values(), key=lambda s: (len(s.atoms) * s.electrons, s.key))
    mine = ordered[part[0]::part[1]]
    for i, s in enumerate(mine):
        path = record_path(folder, s, settings)
        if not path.exists():
            print(f"[{i + 1}/{len(mine)}] {s.key}", flush=True)
            _write(path, s, compute(s, settings))


def load(species: Species, folder: Path, settings: Settings = STANDARD) -> Record:
    """Reads a record back. Raises FileNotFoundError where it was not built."""
    with h5py.File(record_path(folder, species, settings)) as f:
        ex_lr = dict(zip(OMEGAS, f["ex_lr"][:].tolist(), strict=True))
        ex_sr = dict(zip(OMEGAS, f["ex_sr"][:], strict=True))
        return Record(f["weights"][:], f["variables"][:], ex_lr=ex_lr, ex_sr=ex_sr,
                      **{k: f.attrs[k].item() for k in ("e_rest", "ex_full", "converged", "lost_electrons", "e_scf")})


def compute(species: Species, settings: Settings) -> Record:
    """SCF and features of one species."""
    mol = gto.M(atom=list(species.atoms), basis=species.basis, verbose=0, charge=round(species.charge), spin=None)
    mf = _mean_field(mol, species, settings)
    dm = np.asarray(mf.make_rdm1())
    total = dm if dm.ndim == 2 else dm.sum(axis=0)
    e_rest = np.einsum("ij,ji->", mf.get_hcore(), total) + mol.energy_nuc() \
        + np.einsum("ij,ji->", mf.get_j(mol, total), total) / 2
    ex_full, *ex_lr = (_exchange(mf, dm, omega) for omega in (None, *OMEGAS))
    coords, weights, variables, lost = _grid_features(mol, dm, settings)
    ex_sr = {omega: LocalExchange(mol, coords, omega).energy_density(dm)[: 1 if dm.ndim == 2 else 2]
             for omega in OMEGAS}
    return Record(weights, variables, float(e_rest), ex_full, dict(zip(OMEGAS, ex_lr, strict=True)), ex_sr,
                  bool(mf.converged), lost, float(mf.e_tot))


def _mean_field(mol: gto.Mole, species: Species, settings: Settings):
    closed = species.n_alpha == species.n_beta and species.n_alpha == int(species.n_alpha)
    mol.spin = 0 if closed else mol.nelectron % 2
    mf = dft.RKS(mol) if closed else dft.UKS(mol)
    mf.xc = "hf" if species.electrons <= 1 else settings.xc
    if mol.nao > settings.density_fit_above:
        mf = mf.density_fit(auxbasis=settings.auxbasis)
    mf.grids.level, mf.conv_tol, mf.max_cycle = settings.scf_grid, settings.conv_tol, 100
    if not closed:
        mf.get_occ = lambda mo_energy=None, mo_coeff=None: _occupations(mf, mo_energy, species)
    for attempt in ({}, {"level_shift": 0.3}, {"level_shift": 0.0, "damp": 0.5}):
        for name, value in attempt.items():
            setattr(mf, name, value)
        mf.kernel(dm0=None if not attempt else mf.make_rdm1())
        if mf.converged:
            break
    return mf


def _occupations(mf, mo_energy, species: Species) -> np.ndarray:
    """Aufbau per spin, the highest occupied orbital with the fraction that is left."""
    mo_energy = mf.mo_energy if mo_energy is None else mo_energy
    occ = np.zeros_like(mo_energy)
    for spin, n in enumerate((species.n_alpha, species.n_beta)):
        order = np.argsort(mo_energy[spin])
        occ[spin, order] = np.clip(n - np.arange(len(order)), 0, 1)
    return occ


def _exchange(mf, dm: np.ndarray, omega: float | None) -> float:
    """-½ Tr K D (closed shell: -¼), of the full (None) or long-range operator."""
    k = mf.get_k(mf.mol, dm, omega=omega) if omega else mf.get_k(mf.mol, dm)
    return -float(np.sum(k * dm)) * (0.25 if dm.ndim == 2 else 0.5)


def _grid_features(mol: gto.Mole, dm: np.ndarray, settings: Settings):
    ni, grids = dft.numint.NumInt(), dft.gen_grid.Grids(mol)
    grids.level = settings.grid
    grids.build()
    spins = dm[None] if dm.ndim == 2 else dm
    makers = [ni._gen_rho_evaluator(mol, d, hermi=1, with_lapl=False)[0] for d in spins]
    rows: list[list[np.ndarray]] = [[], []]
    for ao, mask, _, _ in ni.block_loop(mol, grids, mol.nao, deriv=1, max_memory=2000):
        for s, make in enumerate(makers):
            rows[s].append(make(0, ao, mask, "MGGA"))
    rho = [np.hstack(r) for r in rows[: len(spins)]]
    n = sum(r[0] for r in rho)
    keep = np.abs(grids.weights) * n > settings.cutoff  # some Lebedev grids have negative weights
    lost = float(np.sum((np.abs(grids.weights) * n)[~keep]))
    rho = [r[:, keep] for r in rho]
    dot = lambda a, b: np.einsum("xg,xg->g", a[1:4], b[1:4])  # noqa: E731
    if len(rho) == 1:
        variables = [rho[0][0], dot(rho[0], rho[0]), rho[0][4]]
    else:
        a, b = rho
        variables = [a[0], b[0], dot(a, a), dot(a, b), dot(b, b), a[4], b[4]]
    return grids.coords[keep], grids.weights[keep], np.array(variables), lost


def _write(path: Path, species: Species, record: Record):
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with h5py.File(temporary, "w") as f:
        f["weights"], f["variables"] = record.weights, record.variables
        f["ex_lr"], f["ex_sr"] = list(record.ex_lr.values()), np.array(list(record.ex_sr.values()))
        f.attrs["species"] = species.key
        for name in ("e_rest", "ex_full", "converged", "lost_electrons", "e_scf"):
            f.attrs[name] = getattr(record, name)
    os.replace(temporary, path)
