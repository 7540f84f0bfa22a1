"""Energies of a functional for stored densities, their slopes in its parameters, and what targets make of them.

Everything that no parameter changes is evaluated once and kept up to a budget, as `training.points` says. Energies and
slopes come from where that is kept, which may be a GPU (`training.device`); the functional itself stays where it is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from mlxc.errors import InvalidInput
from mlxc.manifest.species import Species
from mlxc.units import KCAL
from mlxc.xc.functional import Learned, LocalHybrid, Term
from training import features, parallel
from training.data import Target
from training.device import HERE, Place
from training.dispersion import D4
from training.log import progress
from training.points import Points, Stored, evaluated, in_turn, load, size

#: Default budget for what belongs to grid points, bytes.
MEMORY = 4e9


@dataclass(frozen=True)
class Energies:
    """What a functional's energy of one species is made of: E = constant + Σ_terms Σ_points weight · term."""

    constant: float
    terms: Iterable[Term]  # with the grid weights folded into ``gas`` and ``exact``
    hartree_fock: float
    place: Place = HERE  # of the terms, the same for all species
    mine: bool = True  # whether this process evaluates them


def prepare(functional: Learned, species: Iterable[Species], folder: Path, damping: dict[str, float],
            settings: features.Settings = features.STANDARD, memory: float = MEMORY,
            place: Place = HERE) -> dict[str, Energies]:
    """Evaluates everything that no parameter changes, for the species whose SCF converged.

    Args:
        functional: gives the form and ω.
        species: to be loaded.
        folder: of the records.
        damping: D4's parameters; the dispersion energy is part of the constant.
        settings: the records' settings.
        memory: bytes for what belongs to grid points, wherever it is kept; that of further species stays on disk.
        place: where energies are computed.

    Raises:
        InvalidInput: a record is missing or broken, holds numbers that are not finite, or not the functional's ω.
    """
    if functional.local_omega not in settings.omegas:
        raise InvalidInput(f"the functional's ω is {functional.local_omega:g}, the densities hold exact exchange at "
                           f"{', '.join(f'{omega:g}' for omega in settings.omegas)}: add it to omegas in [features]")
    if isinstance(functional, LocalHybrid) and not settings.local_exchange:
        raise InvalidInput("a local hybrid needs local exact exchange, and these densities are without: leave "
                           "local_exchange = false out of [features]")
    species = list(species)
    dispersion = D4(species).energies(damping)
    prepared: dict[str, Energies] = {}
    room = place.room
    for s in progress(species, "loading"):
        record = load(s, folder, settings)
        if not record.converged:
            continue
        stored = Stored(functional, s, folder, settings, place)
        terms: Iterable[Term] = stored
        if (mine := parallel.mine(s.key)) and memory > 0:
            points = Points.of(functional, record)
            made = evaluated(functional, points.sent(place.device), place)
            kept = made if size(made) <= min(room, memory) else replace(stored, points=points.pinned(place.device))
            if size(kept) <= memory:
                terms, memory = kept, memory - size(kept)
                room -= size(made) if terms is made else 0
        long_range = record.ex_lr[functional.omega] if functional.omega else 0.0
        exact_exchange = long_range + functional.sr_fraction * (record.ex_full - long_range)
        constant = record.e_rest + exact_exchange + dispersion[s.key]
        prepared[s.key] = Energies(constant, terms, record.e_rest + record.ex_full, place, mine)
    return prepared


def energy(functional: Learned, prepared: Energies) -> torch.Tensor:
    """Total energy of a species, Ha, by a functional that is where its terms are; differentiable in the parameters."""
    xc = sum((functional.term_energy(t).sum() for t in prepared.terms), start=torch.zeros((), dtype=torch.float64))
    return prepared.constant + xc


def energies(functional: Learned, prepared: Mapping[str, Energies]) -> dict[str, float]:
    """Total energies of all species, Ha, the same in every process."""
    there = _place(prepared).copy(functional)
    with torch.no_grad():
        found = {key: energy(there, e) for key, e in _mine(prepared, "energies")}
    return _shared({key: float(e) for key, e in found.items()}, prepared)


def jacobian(functional: Learned,
             prepared: Mapping[str, Energies]) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Energy (Ha) and its gradient in the parameters for every species, the same in every process."""
    values, gradients = slopes(functional, prepared)
    table = np.zeros((len(prepared), sum(p.numel() for p in parameters(functional))))
    for i, key in enumerate(prepared):
        if key in gradients:
            table[i] = gradients[key]
    return values, dict(zip(prepared, parallel.total(table), strict=True))


def slopes(functional: Learned,
           prepared: Mapping[str, Energies]) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """The energies of all species, and the gradients of those that this process computes.

    One term at a time is differentiated, so that memory holds the graph of one block of grid points. A number is asked
    for when all species are done, since that is where the processor has to wait for a GPU.
    """
    there = _place(prepared).copy(functional)
    variables = parameters(there)
    found, gradients = {}, {}
    for key, species in _mine(prepared, "Jacobian"):
        xc = torch.zeros((), dtype=torch.float64)
        slope = [torch.zeros_like(p, dtype=xc.dtype) for p in variables]
        for t in species.terms:
            e = there.term_energy(t).sum()
            grads = torch.autograd.grad(e, variables, materialize_grads=True) if e.requires_grad else ()
            slope = [a + g for a, g in zip(slope, grads, strict=True)] if grads else slope
            xc = xc + e.detach()
        found[key] = species.constant + xc
        gradients[key] = torch.cat([g.ravel() for g in slope])
    values = _shared({key: float(e) for key, e in found.items()}, prepared)
    return values, {key: slope.cpu().numpy() for key, slope in gradients.items()}


def parameters(functional: Learned) -> list[torch.nn.Parameter]:
    """Those that are fitted."""
    return [p for p in functional.parameters() if p.requires_grad]


def _place(prepared: Mapping[str, Energies]) -> Place:
    return next((e.place for e in prepared.values()), HERE)


def _mine(prepared: Mapping[str, Energies], label: str) -> Iterator[tuple[str, Energies]]:
    """The species of this process, in turn, with terms that are where they are needed."""
    keys = [key for key in prepared if prepared[key].mine]
    arriving = in_turn([prepared[key].terms for key in keys], _place(prepared))
    for key, terms in zip(progress(keys, label), arriving, strict=True):
        yield key, replace(prepared[key], terms=terms)


def _shared(found: dict[str, float], prepared: Iterable[str]) -> dict[str, float]:
    keys = list(prepared)
    return dict(zip(keys, parallel.total(np.array([found.get(key, 0.0) for key in keys])).tolist(), strict=True))


def resolve(targets: Sequence[Target], prepared: Mapping[str, Energies]) -> list[Target]:
    """Targets whose species are all prepared, with the Hartree–Fock energy where the reference is None."""
    return [replace(t, reference=prepared[t.terms[0][0]].hartree_fock) if t.reference is None else t
            for t in targets if all(key in prepared for key, _ in t.terms)]


def residuals(targets: Sequence[Target], found: Mapping[str, float]) -> np.ndarray:
    """Σ_k c_k E_k − reference of each target, kcal/mol."""
    return np.array([KCAL * (sum(c * found[k] for k, c in t.terms) - t.reference) for t in targets])
