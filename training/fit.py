"""Energies of a functional for stored densities, their slopes in its parameters, and what targets make of them.

Everything that no parameter changes is evaluated once. What belongs to grid points stays in memory up to a budget;
beyond it, species are read from their HDF5 files again whenever they are needed, one at a time, so that memory does not
grow with the number of species.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from mlxc.errors import InvalidInput
from mlxc.xc.density import Density
from mlxc.xc.functional import Learned, LocalHybrid, Term
from mlxc.xc.relaxed import Relaxed
from training import features, parallel
from training.data import KCAL, Species, Target
from training.dispersion import D4
from training.log import progress

#: Grid points evaluated at once: bounds the memory of a backward pass.
BLOCK = 2**17

#: Default budget for what belongs to grid points, bytes.
MEMORY = 4e9


@dataclass(frozen=True)
class Energies:
    """What a functional's energy of one species is made of: E = constant + Σ_terms Σ_points weight · term."""

    constant: float
    terms: Iterable[Term]  # with the grid weights folded into ``gas`` and ``exact``
    hartree_fock: float


@dataclass(frozen=True)
class Stored:
    """Terms of a species that are read and evaluated anew each time they are gone through."""

    functional: Learned
    species: Species
    folder: Path
    settings: features.Settings

    def __iter__(self) -> Iterator[Term]:
        yield from _evaluated(self.functional, load(self.species, self.folder, self.settings))


def prepare(functional: Learned, species: Iterable[Species], folder: Path, damping: dict[str, float],
            settings: features.Settings = features.STANDARD, memory: float = MEMORY) -> dict[str, Energies]:
    """Evaluates everything that no parameter changes, for the species whose SCF converged.

    Args:
        functional: gives the form and ω.
        species: to be loaded.
        folder: of the records.
        damping: D4's parameters; the dispersion energy is part of the constant.
        settings: the records' settings.
        memory: bytes for terms; those of further species stay on disk.

    Raises:
        InvalidInput: a record is missing or broken, holds numbers that are not finite, or not the functional's ω.
    """
    if functional.local_omega not in settings.omegas:
        raise InvalidInput(f"the functional's ω is {functional.local_omega:g}, the densities hold exact exchange at "
                           f"{', '.join(f'{omega:g}' for omega in settings.omegas)}: add it to omegas in [features]")
    species = list(species)
    dispersion = D4(species).energies(damping)
    prepared: dict[str, Energies] = {}
    for s in progress(species, "loading"):
        record = load(s, folder, settings)
        if not record.converged:
            continue
        terms: Iterable[Term] = Stored(functional, s, folder, settings)
        if parallel.mine(s.key) and memory > 0:
            kept = _evaluated(functional, record)
            memory -= size(kept)
            terms = kept if memory >= 0 else terms
        long_range = record.ex_lr[functional.omega] if functional.omega else 0.0
        exact_exchange = long_range + functional.sr_fraction * (record.ex_full - long_range)
        constant = record.e_rest + exact_exchange + dispersion[s.key]
        prepared[s.key] = Energies(constant, terms, record.e_rest + record.ex_full)
    return prepared


def load(species: Species, folder: Path, settings: features.Settings) -> features.Record:
    """The record of a species.

    Raises:
        InvalidInput: there is none with these settings, or it is broken, or holds numbers that are not finite.
    """
    record = features.load(species, folder, settings)
    arrays = {"weights": record.weights, "variables": record.variables,
              "energies": np.array([record.e_rest, record.ex_full])}
    arrays |= {f"ex_sr({omega:g})": array for omega, array in record.ex_sr.items()}
    if broken := [name for name, array in arrays.items() if not np.all(np.isfinite(array))]:
        path = features.record_path(folder, species, settings)
        raise InvalidInput(f"{path}, the record of {species.key}, holds NaN or infinity in {', '.join(broken)}: "
                           "delete the file, and it will be computed again")
    return record


def size(terms: Iterable[Term]) -> int:
    """Bytes of terms in memory."""
    return sum(x.nbytes for t in terms for x in vars(t).values() if isinstance(x, torch.Tensor))


def _evaluated(functional: Learned, record: features.Record) -> tuple[Term, ...]:
    with torch.no_grad():
        return tuple(_weighted_terms(functional, record))


def _weighted_terms(functional: Learned, record: features.Record) -> Iterator[Term]:
    weights, variables = torch.from_numpy(record.weights), torch.from_numpy(record.variables)
    exact = torch.from_numpy(record.ex_sr[functional.local_omega]).expand(2, -1) \
        if isinstance(functional, LocalHybrid) else None
    for start in range(0, len(weights), BLOCK):
        block = slice(start, start + BLOCK)
        density = Density.from_variables(tuple(variables[:, block]))
        more = () if exact is None else (exact[:, block],)
        for t in functional.terms(density, *more):  # type: ignore[operator]
            w = weights[block]
            yield replace(t, gas=w * t.gas, exact=None if t.exact is None else w * t.exact)
    if isinstance(functional, Relaxed) and "long_range" in functional.relaxed:
        yield functional.exact_long_range(record.ex_lr[functional.omega])


def energy(functional: Learned, prepared: Energies) -> torch.Tensor:
    """Total energy of a species, Ha; differentiable in the parameters."""
    xc = sum((functional.term_energy(t).sum() for t in prepared.terms), start=torch.zeros((), dtype=torch.float64))
    return prepared.constant + xc


def energies(functional: Learned, prepared: Mapping[str, Energies]) -> dict[str, float]:
    """Total energies of all species, Ha, the same in every process."""
    with torch.no_grad():
        return _shared({key: float(energy(functional, prepared[key])) for key in _mine(prepared, "energies")}, prepared)


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

    One term at a time is differentiated, so that memory holds the graph of one block of grid points.
    """
    variables = parameters(functional)
    values, gradients = {}, {}
    for key in _mine(prepared, "Jacobian"):
        xc, slope = 0.0, [torch.zeros_like(p) for p in variables]
        for t in prepared[key].terms:
            e = functional.term_energy(t).sum()
            grads = torch.autograd.grad(e, variables, materialize_grads=True) if e.requires_grad else ()
            slope = [a + g for a, g in zip(slope, grads, strict=True)] if grads else slope
            xc += float(e.detach())
        values[key] = prepared[key].constant + xc
        gradients[key] = torch.cat([g.ravel() for g in slope]).numpy()
    return _shared(values, prepared), gradients


def parameters(functional: Learned) -> list[torch.nn.Parameter]:
    """Those that are fitted."""
    return [p for p in functional.parameters() if p.requires_grad]


def _mine(prepared: Iterable[str], label: str) -> Iterable[str]:
    return progress([key for key in prepared if parallel.mine(key)], label)


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
