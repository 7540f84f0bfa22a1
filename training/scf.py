"""The self-consistent density of one species, and whether it is a minimum of the energy."""

from pyscf import dft, gto

import mlxc
from mlxc.errors import InvalidInput
from mlxc.host import seam
from mlxc.manifest.species import Species
from mlxc.solution import converge, occupy, stabilised
from mlxc.structure import core_potentials
from training.record import Settings


def mean_field(species: Species, settings: Settings, functional=None) -> tuple[dft.rks.KohnShamDFT, bool | None]:
    """The converged Kohn–Sham object of a species, restricted for closed shells.

    An open shell, and an atom of any kind, must also be a minimum (`stabilised`), unless its electron numbers are
    fractions or ``settings.follow_ups`` is 0. The ground state of one electron is the lowest level of its
    Hamiltonian: a minimum without a check.

    Args:
        species: atoms and electrons.
        settings: functional, grid, thresholds.
        functional: of mlxc's, in place of ``settings.xc``; it is registered under its own name.

    Raises:
        InvalidInput: a basis with effective core potentials.

    Returns:
        (mf, stable): stable is None where nothing was checked. ``mf.converged`` says whether there is a solution.
    """
    if cores := core_potentials(species.basis, sorted({a[0] for a in species.atoms})):
        raise InvalidInput(f"{species.key}: {species.basis} has an effective core potential for {', '.join(cores)}, "
                           "and functionals are trained on all electrons: leave it out, or choose another basis")
    mol = gto.M(atom=list(species.atoms), basis=species.basis, verbose=0, charge=round(species.charge), spin=None)
    whole = not species.is_fractional
    closed = species.n_alpha == species.n_beta and whole
    mol.spin = 0 if closed else mol.nelectron % 2
    mf = dft.RKS(mol) if closed else dft.UKS(mol)
    mf.xc = "hf" if species.electrons <= 1 else mlxc.register(functional) if functional else settings.xc
    if mol.nao > settings.density_fit_above:
        mf = mf.density_fit(auxbasis=settings.auxbasis)
    mf.grids.level, mf.conv_tol, mf.max_cycle = settings.scf_grid, settings.conv_tol, 100
    if seam.local_hybrid(mf.xc) is not None:
        mlxc.set_local_exchange(mf, settings.local_grid)
    if not closed:
        occupy(mf, species.n_alpha, species.n_beta)
    converge(mf)
    if not mf.converged or not whole or not settings.follow_ups or (closed and len(species.atoms) > 1):
        return mf, None
    return mf, species.electrons <= 1 or stabilised(mf, settings.follow_ups)
