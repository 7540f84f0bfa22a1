"""How rough a functional is: oscillating potentials ruin forces, and an error on fixed densities does not show them."""

from dataclasses import replace
from pathlib import Path

import torch

from mlxc.manifest.species import Species
from mlxc.xc import violations
from mlxc.xc.functional import Learned, LocalHybrid, Term
from training import features, fit
from training.data import Target
from training.device import HERE, Place


def coarser(settings: features.Settings) -> features.Settings:
    """The settings with the grid that must give the same energy, one level coarser."""
    return replace(settings, grid=settings.grid - 1)


def small(species: dict[str, Species]) -> dict[str, Species]:
    """Atoms and diatomics with whole electrons, of which the energy on a coarse grid counts too."""
    return {key: s for key, s in species.items() if len(s.atoms) <= 2 and s.electrons > 1 and not s.is_fractional}


def on_two_grids(functional: Learned, species: dict[str, Species], prepared: dict[str, fit.Energies], folder: Path,
                 damping: dict[str, float], settings: features.Settings = features.STANDARD,
                 memory: float = fit.MEMORY, place: Place = HERE) -> list[Target]:
    """Targets E(coarse grid) − E(grid) = 0, group ``grid``, for small species.

    Args:
        functional: as in `fit.prepare`.
        species: all; `small` chooses.
        prepared: of the fine grid; the energies on the coarse one are added.
        folder, damping, settings, memory, place: as in `fit.prepare`; the settings are those of the fine grid.
    """
    found = fit.prepare(functional, small(species).values(), folder, damping, coarser(settings), memory, place)
    prepared |= {f"{key} coarse": replace(e, constant=prepared[key].constant)
                 for key, e in found.items() if key in prepared}
    return [Target(f"grid({key})", "grid", ((f"{key} coarse", 1), (key, -1)), 0.0) for key in found if key in prepared]


def roughness(functional: Learned, count: int = 1000) -> dict[str, float]:
    """Root mean square of the second derivatives of what each network gives, in its own inputs.

    Of the enhancements F, G^ss, G^os and of the fraction b the diagonal second derivatives ∂²/∂x_i², x the network's
    bounded inputs, u and w included; x as of `count` sampled densities. 0 for a straight line; a wiggle of amplitude A
    and wavelength d has about 28 A/d².

    Args:
        functional: the fitted one.
        count: number of sampled densities.
    """
    d = violations.sampled_density(count)
    more = (violations.any_exact_exchange(d),) if isinstance(functional, LocalHybrid) else ()
    squares: dict[str, list[torch.Tensor]] = {}
    for term in functional.terms(d, *more):  # type: ignore[operator]
        seen = term.inputs[..., :functional.networks[term.network].inputs]
        squares.setdefault(term.network, []).append(_second(_enhancement(functional, term), seen))
        if isinstance(functional, LocalHybrid) and term.exact is not None:
            squares.setdefault("mixing", []).append(_second(functional.mixing, term.inputs))
    return {name: float(torch.cat(found).square().mean().sqrt()) for name, found in squares.items()}


def _enhancement(functional: Learned, term: Term):
    """F or G as a function of the inputs alone, of which u and w are the first two."""
    def exponent(x):
        return functional.exponent(replace(term, inputs=x, u=x[:, 0], w=x[:, 1]))

    return lambda x: 1 + term.kappa * functional.bounded(exponent(x))


def _second(function, inputs: torch.Tensor) -> torch.Tensor:
    x = inputs.detach().requires_grad_()
    mean = function(x).reshape(-1, len(x)).mean(0)  # over the members of an ensemble
    slope, = torch.autograd.grad(mean.sum(), x, create_graph=True)
    columns = [torch.autograd.grad(slope[:, i].sum(), x, retain_graph=True)[0][:, i] for i in range(x.shape[1])]
    return torch.stack(columns).detach()
