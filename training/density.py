"""From a self-consistent density to a record: the density on the grid, the parts of its energy, exact exchange."""

import warnings

import numpy as np
from pyscf import dft, gto

from mlxc.errors import DomainWarning
from mlxc.host.exchange import LocalExchange
from mlxc.manifest.species import Species
from training.functionals import functional_of
from training.record import Record, Settings
from training.scf import mean_field

#: Memory for orbital values on the grid, MB.
BLOCK_MEMORY = 2000


def compute(species: Species, settings: Settings, functional=None) -> Record:
    """SCF and features of one species.

    Args:
        species: atoms and electrons.
        settings: how.
        functional: of mlxc's, where the caller has it already; otherwise ``settings.xc`` is looked up.

    Returns:
        The record; one of an SCF that did not converge says so.
    """
    functional = functional_of(settings.xc) if functional is None else functional
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DomainWarning)  # fractional charges are outside every functional's domain
        mf, stable = mean_field(species, settings, functional)
    return record_of(mf, settings, stable)


def record_of(mf, settings: Settings, stable: bool | None = None) -> Record:
    """The record of the density of any Kohn–Sham object, as self-consistent refinement wants it.

    Its energies are of that density: e_rest = Tr hD + ½ Tr JD + E_nn, exact exchange −½ Σ_σ Tr K_σ D_σ, with the
    object's own J and K (density-fitted where it is).

    Args:
        mf: RKS or UKS, of any functional, after its SCF.
        settings: grid, cutoff, ω and whether there is local exchange are used.
        stable: what is known of it.
    """
    dm, mol = mf.make_rdm1(), mf.mol
    total = np.asarray(dm) if dm.ndim == 2 else np.asarray(dm).sum(axis=0)
    e_rest = np.einsum("ij,ji->", mf.get_hcore(), total) + mol.energy_nuc() \
        + np.einsum("ij,ji->", mf.get_j(mol, total), total) / 2
    coords, weights, variables, lost = on_grid(mol, dm, settings)
    ex_sr = {omega: LocalExchange(mol, coords, omega).energy_density(dm)[: 1 if dm.ndim == 2 else 2]
             for omega in settings.local_omegas}
    ex_lr = {omega: _exchange(mf, dm, omega) for omega in settings.omegas}
    return Record(weights, variables, float(e_rest), _exchange(mf, dm), ex_lr, ex_sr, bool(mf.converged), lost,
                  float(mf.e_tot), stable)


def _exchange(mf, dm, omega: float | None = None) -> float:
    """−½ Tr K D (closed shell: −¼), of the full (None) or long-range operator."""
    k = mf.get_k(mf.mol, dm, omega=omega) if omega else mf.get_k(mf.mol, dm)
    return -float(np.sum(k * dm)) * (0.25 if dm.ndim == 2 else 0.5)


def on_grid(mol: gto.Mole, dm, settings: Settings) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """The scalar density variables on the points that matter.

    Left out are points with weight · density up to the cutoff. The standard 1e-9 electrons changes no term of the
    energy (correlation, local part, semilocal exchange) of water, OH, F⁻, H⁻, Li⁻ and Ar by more than 1e-4 kcal/mol,
    1e-8 by 1e-3, 1e-7 by 6e-3; it drops one point in ten of water (21924 → 19671).

    Args:
        mol: molecule.
        dm: density matrix, (nao, nao) or (2, nao, nao), with PySCF's orbitals or without.
        settings: ``grid`` and ``cutoff``.

    Returns:
        (coords, weights, variables, lost): (n, 3) in bohr, (n,), (3 or 7, n), electrons at the points left out.
    """
    ni, grids = dft.numint.NumInt(), dft.gen_grid.Grids(mol)
    grids.level = settings.grid
    grids.build()
    make, spins, _ = ni._gen_rho_evaluator(mol, dm, hermi=1, with_lapl=False)
    rows = [[make(spin, ao, mask, "MGGA") for spin in range(spins)]
            for ao, mask, _, _ in ni.block_loop(mol, grids, mol.nao, deriv=1, max_memory=BLOCK_MEMORY)]
    rho = np.concatenate(rows, axis=-1)  # (spins, 5, n)
    measure = np.abs(grids.weights) * rho[:, 0].sum(axis=0)  # some Lebedev grids have negative weights
    keep = measure > settings.cutoff
    return grids.coords[keep], grids.weights[keep], _variables(rho[..., keep]), float(measure[~keep].sum())


def _variables(rho: np.ndarray) -> np.ndarray:
    """n, σ, τ of a closed shell; n_a, n_b, σ_aa, σ_ab, σ_bb, τ_a, τ_b of both spins."""
    n, gradient, tau = rho[:, 0], rho[:, 1:4], rho[:, 4]
    pairs = ((0, 0),) if len(rho) == 1 else ((0, 0), (0, 1), (1, 1))
    return np.array([*n, *(np.einsum("xg,xg->g", gradient[a], gradient[b]) for a, b in pairs), *tau])
