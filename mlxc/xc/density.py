"""The density variables on the grid: what a functional is a function of."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mlxc.errors import InvalidDensity


@dataclass(frozen=True)
class Density:
    """Spin densities and their derivatives at n grid points, in atomic units.

    Attributes:
        rho: spin densities ρ_σ, shape (2, n), bohr⁻³.
        sigma: ∇ρ_a·∇ρ_a, ∇ρ_a·∇ρ_b, ∇ρ_b·∇ρ_b, shape (3, n), bohr⁻⁸.
        tau: τ_σ = ½ Σ_i |∇φ_iσ|², shape (2, n), Ha bohr⁻³.
        closed_shell: both channels are one; a functional then evaluates a spin sum as twice channel a.
    """

    rho: Tensor
    sigma: Tensor
    tau: Tensor
    closed_shell: bool = False

    @classmethod
    def unpolarized(cls, n: Tensor, sigma: Tensor, tau: Tensor) -> "Density":
        """Closed shell from total density n, |∇n|² and τ, each of shape (n,)."""
        return cls((n / 2).expand(2, -1), (sigma / 4).expand(3, -1), (tau / 2).expand(2, -1), closed_shell=True)

    @classmethod
    def from_variables(cls, variables: tuple[Tensor, ...]) -> "Density":
        """From PySCF's scalar variables: (n, σ, τ) or (n_a, n_b, σ_aa, σ_ab, σ_bb, τ_a, τ_b)."""
        if len(variables) == 3:
            return cls.unpolarized(*variables)
        na, nb, saa, sab, sbb, ta, tb = variables
        return cls(torch.stack((na, nb)), torch.stack((saa, sab, sbb)), torch.stack((ta, tb)))

    @property
    def n(self) -> Tensor:
        """Total density, shape (n,)."""
        return self.rho.sum(0)

    @property
    def sigma_total(self) -> Tensor:
        """|∇n|² of the total density, shape (n,)."""
        return self.sigma[0] + 2 * self.sigma[1] + self.sigma[2]

    @property
    def tau_total(self) -> Tensor:
        """τ of both spins, shape (n,)."""
        return self.tau.sum(0)

    def spin_sum(self, per_spin) -> Tensor:
        """Σ_σ f(ρ_σ, σ_σσ, τ_σ) for a function of one channel's variables, shape (n,)."""
        a = per_spin(self.rho[0], self.sigma[0], self.tau[0])
        return 2 * a if self.closed_shell else a + per_spin(self.rho[1], self.sigma[2], self.tau[1])


def variables_from_rows(rho: Tensor) -> tuple[Tensor, ...]:
    """PySCF's density rows [n, nx, ny, nz, τ] to the scalar variables a functional is differentiated in.

    Args:
        rho: (5, n) for closed shells, (2, 5, n) spin-resolved; a (…, 6, n) form carries ∇²n in row 4,
            which is dropped.

    Returns:
        (n, σ, τ), or (n_a, n_b, σ_aa, σ_ab, σ_bb, τ_a, τ_b), each of shape (n,).

    Raises:
        InvalidDensity: another shape, NaN, or a negative density or τ.
    """
    if rho.ndim not in (2, 3) or rho.shape[-2] not in (5, 6) or (rho.ndim == 3 and rho.shape[0] != 2):
        raise InvalidDensity(f"rho has shape {tuple(rho.shape)}, expected (5, n) or (2, 5, n) with rows "
                             "n, ∇n, τ: pass the density, its gradient and tau (PySCF's MGGA layout)")
    if rho.shape[-2] == 6:
        rho = torch.cat((rho[..., :4, :], rho[..., 5:, :]), dim=-2)
    require_finite(rho)
    require_not_negative(rho[..., 0, :])
    if rho.ndim == 2:
        return rho[0], (rho[1:4] ** 2).sum(0), rho[4]
    (a, b) = rho
    return (a[0], b[0], (a[1:4] ** 2).sum(0), (a[1:4] * b[1:4]).sum(0), (b[1:4] ** 2).sum(0), a[4], b[4])


def require_finite(values: Tensor):
    """Raises InvalidDensity where what is made of a density holds NaN or infinity."""
    if not torch.isfinite(values).all():
        raise InvalidDensity("the density on the grid holds NaN or infinity: check the density matrix "
                             "(a diverged SCF, a damaged checkpoint file)")


def require_not_negative(n: Tensor):
    """Raises InvalidDensity where a density is negative by more than round-off."""
    if (n < -NEGATIVE_DENSITY).any():
        raise InvalidDensity(f"the density is negative, down to {float(n.min()):.2e} bohr⁻³; "
                             "a density matrix must have no negative occupation")


#: Round-off of a density that is still taken for zero, bohr⁻³.
NEGATIVE_DENSITY = 1e-6
