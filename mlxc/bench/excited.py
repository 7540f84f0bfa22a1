"""Lowest vertical excitation energies of each spin, by linear response."""

from pyscf import lib, tdscf
from pyscf.tdscf import _lr_eig

from mlxc.solution import on_grid

#: Roots that are searched, of which the lowest counts: the search begins with differences of levels, and the lowest of
#: these need not lead to the lowest root.
ROOTS = 4

#: Norm of a root's residual; the error of its energy is of second order in it.
RESIDUAL = 1e-4


def lowest_excitations(mf, grid_level: int | None = None) -> dict[str, float]:
    """The lowest root of each spin.

    Closed shells: singlets by the full response, (A B; B A)(X; Y) = ω (X; −Y), and triplets by A X = ω X alone, since B
    makes them too low, or imaginary, where the closed shell is close to an instability (doi:10.1021/ct200651r). Open
    shells: full response that keeps the number of electrons of each spin. VV10 has no part in the response. A triplet
    below the ground state has a negative energy.

    Args:
        mf: a converged mean field that has second derivatives.
        grid_level: PySCF's level of the grid for the second derivatives, that of the SCF if None.

    Returns:
        Energies in Ha by "singlet" and "triplet" (closed shells) or "same_spin" (open shells); without those that did
        not converge, or whose full response PySCF finds to be that of a saddle point.
    """
    if mf.mo_occ.ndim == 1:
        solvers = {"singlet": tdscf.TDDFT(mf), "triplet": tdscf.TDA(mf).set(singlet=False, positive_eig_threshold=-1.0)}
    else:
        solvers = {"same_spin": tdscf.TDDFT(mf)}
    found = {}
    # PySCF extends the space by up to 20 vectors a step; as many as there are roots cost less (docs/decisions.md, 41)
    with on_grid(mf, grid_level), lib.temporary_env(_lr_eig, MAX_SPACE_INC=None):
        for spin, solver in solvers.items():
            solver.set(nstates=ROOTS, conv_tol=RESIDUAL)
            try:
                solver.kernel()
            except RuntimeError as error:
                if "saddle-point" not in str(error):
                    raise
                continue
            if len(solver.e) and solver.converged[0]:
                found[spin] = float(solver.e[0])
    return found
