"""Derivative of local exact exchange with respect to the nuclei and to the grid points.

For E = Σ_σ Σ_r f_σ(r) e_xσ(r) with fixed f and density matrices, in the notation of `mlxc.host.exchange` (φ_i scaled,
s_i the sign of its occupation),

    E = −½ Σ_ij s_i s_j (P|ij) (J⁺ M)^P_ij,   M^P_ij = Σ_r f φ_i φ_j V_P,   T_P(r) = f Σ_ij s_i s_j C^P_ij φ_i φ_j

    dE = −Σ_r [f Σ_i s_i G_i dφ_i + ½ Σ_P T_P dV_P]
         − ½ Σ_ij s_i s_j [d(P|ij) (J⁺ M)^P_ij − C^P_ij dJ_PQ (J⁺ M)^Q_ij]

The first line belongs to the points: φ_i and V_P depend on r − R, so that moving a point is moving all nuclei the other
way. The second line does not know the points. d(J⁺) = −J⁺ dJ J⁺ holds as long as the auxiliary functions that were
left out of J⁺ stay the same ones, that is, dependent.

Source: forces of local hybrids without density fitting, doi:10.1021/acs.jctc.8b00062.
"""

import torch
from torch import Tensor

from mlxc.host.arrays import host_threads, to_torch
from mlxc.host.exchange import LocalExchange, _State
from mlxc.host.fitting_gradient import by_atom, metric_gradient, potential_gradients, three_centre_gradient
from mlxc.host.points import PAIR_NUMBERS

#: Grid points whose ∇V_P are held at a time.
PIECE = 512


def exchange_gradient(exchange: LocalExchange, dm, f) -> tuple[Tensor, Tensor]:
    """Derivative of Σ_σ Σ_r f_σ(r) e_xσ(r), with respect to the nuclei and to the points.

    Args:
        exchange: of the geometry and grid.
        dm: (nao, nao) of a closed shell, or (2, nao, nao), with PySCF's orbitals tagged or without.
        f: weight times ∂E/∂e_xσ, shape (2, n); points where both are 0 are skipped.

    Returns:
        dE/dR with fixed points, f and density matrix (of AOs), (natm, 3), and dE/dr of every point with fixed nuclei,
        (n, 3); Ha/bohr.

    Raises:
        InvalidDensity, Unsupported: as `LocalExchange.energy_density`.
    """
    with host_threads():
        states = exchange._prepare(dm)
        weights = to_torch(f).to(exchange.device)
        weights = weights if len(states) == 2 else weights.sum(0, keepdim=True)
        moments = [torch.zeros_like(state.fit) for state in states]
        nuclei, points = _at_points(exchange, states, weights, moments)
        solved = [exchange.fitting.solve(m) for m in moments]
        return nuclei + _in_fit(exchange, states, solved), points


def _at_points(exchange: LocalExchange, states: list[_State], f: Tensor,
               moments: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The first line of dE, for nuclei and points; adds s_i s_j M^P_ij to the moments."""
    grid, fitting = exchange.grid, exchange.fitting
    points = f.new_zeros(3, len(grid))
    on_orbitals, on_auxiliary = f.new_zeros(3, fitting.nao), f.new_zeros(3, fitting.naux)
    for number, chosen in grid((f != 0).any(0)):
        potentials, ao, weights = grid.potentials(number, chosen), grid.orbitals(chosen), f[:, chosen]
        phis = [state.orbitals.scaled.T @ ao for state in states]
        change = torch.zeros_like(ao)
        for state, phi, weight in zip(states, phis, weights, strict=True):
            g = exchange.half_exchanged(state, chosen, phi, potentials)
            change += (state.orbitals.scaled * state.orbitals.sign) @ (g * weight)
        for start in range(0, len(chosen), PIECE):
            part = slice(start, start + PIECE)
            here, field = chosen[part], torch.zeros_like(potentials[:, part])
            for state, phi, weight, moment in zip(states, phis, weights, moments, strict=True):
                _add_pairs(state, phi[:, part], weight[part], potentials[:, part], moment, field)
            for slopes, factor, sums in ((grid.orbitals(here, 1)[1:], change[:, part], on_orbitals),
                                         (potential_gradients(fitting, grid.coords[here]), field / 2, on_auxiliary)):
                change_here = slopes * factor
                sums += change_here.sum(2)
                points[:, here] -= change_here.sum(1)
    return by_atom(fitting.mol, on_orbitals) + by_atom(fitting.auxmol, on_auxiliary), points.T


def _add_pairs(state: _State, phi: Tensor, f: Tensor, potentials: Tensor, moments: Tensor, field: Tensor):
    """Adds s_i s_j f φ_i φ_j V_P to the moments, for pairs i ≥ j, and T_P to the field."""
    (i, j), phi = state.pairs, state.orbitals.sign[:, None] * phi
    twice = torch.where(i == j, 1.0, 2.0).to(phi)[:, None]
    step = max(1, PAIR_NUMBERS // max(1, len(i)))
    for start in range(0, phi.shape[1], step):
        part = slice(start, start + step)
        products = (phi[:, part] * f[part])[i] * phi[:, part][j]
        moments.addmm_(products, potentials[:, part].T)
        field[:, part].addmm_(state.fit.T, products.mul_(twice))


def _in_fit(exchange: LocalExchange, states: list[_State], solved: list[Tensor]) -> Tensor:
    """The second line of dE; ``solved`` is s_i s_j (J⁺ M)^P_ij for pairs i ≥ j."""
    fitting = exchange.fitting
    metric = torch.zeros(fitting.naux, fitting.naux, dtype=torch.float64, device=exchange.device)
    for state, x in zip(states, solved, strict=True):
        i, j = state.pairs
        metric.addmm_((state.fit * torch.where(i == j, 0.5, 1.0).to(x)[:, None]).T, x)

    def gamma(part: slice) -> Tensor:
        """Σ_σ Σ_ij c_μi c_νj s_i s_j (J⁺ M)^P_ij."""
        total = metric.new_zeros(part.stop - part.start, fitting.nao, fitting.nao)
        for state, x in zip(states, solved, strict=True):
            (i, j), c = state.pairs, state.orbitals.scaled
            square = x.new_empty(len(total), c.shape[1], c.shape[1])
            square[:, i, j] = square[:, j, i] = x[:, part].T
            total += c @ square @ c.T
        return total

    return metric_gradient(fitting, metric) - 0.5 * three_centre_gradient(fitting, gamma)
