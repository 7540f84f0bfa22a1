"""What belongs to grid points: read from a record, made into terms, kept or sent to a device again and again.

Terms, which no parameter changes, are kept where the networks are evaluated while there is room. What does not fit
there is kept as the points that terms are made from, a third of the size or less, in main memory, and what does not
fit there either is read from disk whenever it is needed. Of these, the next species' points are on their way to a GPU
while it works on the last one's, two species at a time, so that memory does not grow with the number of species.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mlxc.errors import InvalidInput
from mlxc.manifest.species import Species
from mlxc.xc.density import Density
from mlxc.xc.functional import Learned, LocalHybrid, Term
from mlxc.xc.relaxed import Relaxed
from training import features
from training.device import CPU, HERE, Place

#: Grid points evaluated at once: bounds the memory of a backward pass.
BLOCK = 2**17


@dataclass(frozen=True)
class Points:
    """What terms are made from, of all grid points of a species.

    Attributes:
        weights, variables: as in `features.Record`.
        exact: short-range exact exchange with the functional's ω; None where it sees none.
        long_range: E_x^{LR,HF}, Ha, for a functional that has a part of it only; else None.
    """

    weights: Tensor
    variables: Tensor
    exact: Tensor | None
    long_range: float | None

    @classmethod
    def of(cls, functional: Learned, record: features.Record) -> "Points":
        """Those that a functional of this form needs, in main memory."""
        exact = torch.from_numpy(record.ex_sr[functional.local_omega]) if isinstance(functional, LocalHybrid) else None
        part = isinstance(functional, Relaxed) and "long_range" in functional.relaxed
        return cls(torch.from_numpy(record.weights), torch.from_numpy(record.variables), exact,
                   record.ex_lr[functional.omega] if part else None)

    def pinned(self, device: torch.device) -> "Points":
        """The same where a device can fetch them while it works."""
        return self if device == CPU else self._each(Tensor.pin_memory)

    def sent(self, device: torch.device) -> "Points":
        """The same on their way to a device."""
        return self._each(lambda x: x.to(device, non_blocking=True))

    def _each(self, move: Callable[[Tensor], Tensor]) -> "Points":
        exact = None if self.exact is None else move(self.exact)
        return Points(move(self.weights), move(self.variables), exact, self.long_range)


@dataclass(frozen=True)
class Stored:
    """Terms of a species that are made anew each time they are gone through.

    Attributes:
        functional: gives the form.
        species, folder, settings: of the record on disk.
        place: of the terms.
        points: those of the record where they are kept in main memory.
    """

    functional: Learned
    species: Species
    folder: Path
    settings: features.Settings
    place: Place
    points: Points | None = None

    def sent(self) -> Points:
        """Its points on their way to the device."""
        points = self.points or Points.of(self.functional, load(self.species, self.folder, self.settings))
        return points.pinned(self.place.device).sent(self.place.device)

    def terms(self, points: Points) -> Iterator[Term]:
        """The terms of these points."""
        yield from evaluated(self.functional, points, self.place)

    def __iter__(self) -> Iterator[Term]:
        return self.terms(self.sent())


def in_turn(species: Sequence[Iterable[Term]], place: Place) -> Iterator[Iterable[Term]]:
    """The terms of one species after another, to be used before the next are asked for.

    A GPU fetches points in a stream of its own: those of the next species when the work on this one has been given to
    it. This one's are kept until that work has ended, and no more than two species' points are there at a time.
    """
    device = torch.get_device_module(place.device)
    sending = device.Stream(place.device)

    def begun(terms: Iterable[Term]) -> Points | None:
        with device.stream(sending):
            return terms.sent() if isinstance(terms, Stored) else None

    coming = begun(species[0]) if species else None
    for terms, following in zip_longest(species, species[1:], fillvalue=()):
        device.current_stream(place.device).wait_stream(sending)
        yield terms.terms(coming) if isinstance(terms, Stored) and coming else terms
        after = begun(following)
        if coming:
            device.synchronize(place.device)
        coming = after


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
    """Bytes of terms in memory, or of the points there that they are made from."""
    parts: Iterable[object] = (terms.points,) if isinstance(terms, Stored) else terms
    return sum(x.nbytes for part in parts if part for x in vars(part).values() if isinstance(x, Tensor))


def evaluated(functional: Learned, points: Points, place: Place = HERE) -> tuple[Term, ...]:
    """The terms of points that are at a place, with the grid weights folded into ``gas`` and ``exact``."""
    with torch.no_grad():
        return tuple(at(place, t) for t in _weighted_terms(functional, points))


def at(place: Place, term: Term) -> Term:
    """A term there, with what networks see of it in the precision of the place."""
    seen = {name: getattr(term, name).to(place.device, place.precision) for name in ("u", "w", "inputs")}
    exact = None if term.exact is None else term.exact.to(place.device)
    return replace(term, gas=term.gas.to(place.device), exact=exact, **seen)


def _weighted_terms(functional: Learned, points: Points) -> Iterator[Term]:
    exact = None if points.exact is None else points.exact.expand(2, -1)
    for start in range(0, len(points.weights), BLOCK):
        block = slice(start, start + BLOCK)
        density = Density.from_variables(tuple(points.variables[:, block]))
        more = () if exact is None else (exact[:, block],)
        for t in functional.terms(density, *more):  # type: ignore[operator]
            w = points.weights[block]
            yield replace(t, gas=w * t.gas, exact=None if t.exact is None else w * t.exact)
    if points.long_range is not None and isinstance(functional, Relaxed):
        yield functional.exact_long_range(points.long_range)
