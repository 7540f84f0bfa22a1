"""What is stored of a species: its density on the grid and the parts of its energy, in one HDF5 file.

The file's name is a hash of everything that determines the record. It is made in memory and put in place in one step,
so that it is there whole or not at all, whatever stops the program and whoever else writes the same one.
"""

import hashlib
import io
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mlxc import files
from mlxc.errors import InvalidInput, MlxcError
from mlxc.manifest.species import Species
from mlxc.suggest import did_you_mean
from training import configuration
from training.functionals import fingerprint

#: Range-separation parameters whose exact exchange is stored, bohr⁻¹.
OMEGAS = (0.3, 0.5)

#: The properties of a species that are part of the hash.
DETERMINES = ("key", "atoms", "n_alpha", "n_beta", "basis")

#: Numbers of a record that are stored as attributes.
SCALARS = ("e_rest", "ex_full", "converged", "lost_electrons", "e_scf")

#: Settings that were added later: at their default they are no part of the hash, so that older records keep theirs.
ADDED = ("follow_ups", "local_exchange", "local_grid")

#: What the card of a refined functional (`training.refine`) says in place of the functional of its densities.
OWN = "the functional itself, self-consistent"


class MissingRecord(InvalidInput, FileNotFoundError):
    """A density that was not computed, or not with these settings."""


class NotWritten(MlxcError, OSError):
    """A record that the disk did not take."""


@dataclass(frozen=True)
class Settings:
    """How densities are made; part of every record's hash.

    Attributes:
        xc: functional of the densities, one that binds anions: a name that PySCF or mlxc knows, or the path of a model
            card. Of a model, the hash holds the weights. One-electron systems use Hartree–Fock.
        scf_grid, grid: PySCF grid levels of the SCF and of the stored features.
        density_fit_above, auxbasis: number of orbitals above which J and K are density-fitted, and in which basis.
        conv_tol: SCF convergence, Ha.
        cutoff: points with weight · density up to it are dropped, electrons (its error: `training.density.on_grid`).
        omegas: ω whose long-range exact exchange is stored, and the local short-range one, bohr⁻¹.
        follow_ups: restarts of open shells and atoms whose SCF solution turns out to be unstable; 0: not analysed.
        local_exchange: whether the local one is, which local hybrids alone see and which takes half of the time.
        local_grid: PySCF grid level of the local part of a local hybrid in its SCF.
    """

    xc: str = "wb97x"
    scf_grid: int = 1
    grid: int = 2
    density_fit_above: int = 80
    auxbasis: str = "def2-universal-jkfit"
    conv_tol: float = 1e-8
    cutoff: float = 1e-9
    omegas: tuple[float, ...] = OMEGAS
    follow_ups: int = 3
    local_exchange: bool = True
    local_grid: int = 1

    @property
    def local_omegas(self) -> tuple[float, ...]:
        """The ω whose local short-range exact exchange is stored."""
        return self.omegas if self.local_exchange else ()

    @classmethod
    def of(cls, config: dict) -> "Settings":
        """The settings in the ``[features]`` table of a configuration, the standard ones where it says nothing.

        Raises:
            InvalidInput: an unknown key, with the closest known one, or a value of another type.
        """
        table = config.get("features", {})
        known = {field.name: field.default for field in fields(cls)}
        for key, value in table.items():
            if key not in known:
                raise InvalidInput(f"[features] {key} is no setting{did_you_mean(key, known)} "
                                   f"Settings: {', '.join(known)}")
            if not _is_like(value, known[key]):
                raise InvalidInput(f"[features] {key} is {value!r}, expected something like {_shown(known[key])}")
        given: dict[str, Any] = {key: tuple(value) if key == "omegas" else value for key, value in table.items()}
        return cls(**given)

    @classmethod
    def read(cls, path: Path | None, card: dict | None = None) -> "Settings":
        """Those of a configuration file, or else on a model's card, or else the standard ones.

        Raises:
            InvalidInput: no configuration, and the card is of a functional that was fitted at its own densities.
        """
        known = configuration.read(path) if path else (card or {}).get("training", {})
        if known.get("features", {}).get("xc") == OWN:
            raise InvalidInput("this functional was fitted at its own densities, which its card cannot name: say with "
                               "--config whose densities to take, such as training/configs/mlxc_lh.toml")
        return cls.of({"features": known.get("features", {})})


def _is_like(value: Any, standard: Any) -> bool:
    """Whether a value has the type of the standard one; lists stand for tuples, integers for numbers."""
    if isinstance(standard, tuple):
        return isinstance(value, list | tuple) and all(_is_like(v, standard[0]) for v in value)
    return type(value) in ((int, float) if type(standard) is float else (type(standard),))


def _shown(standard: Any) -> str:
    return repr(list(standard)) if isinstance(standard, tuple) else repr(standard)


#: The settings where a configuration says nothing.
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
        ex_sr: {ω: (1 or 2, n) short-range exact exchange e_xσ^SR per volume; of one spin for closed shells}; empty
            without ``local_exchange``.
        converged: SCF convergence; without it the numbers are those of the last iteration.
        lost_electrons: electrons at the dropped points.
        e_scf: energy of the functional of the densities.
        stable: whether the density is a minimum (`mlxc.solution.stabilised`); None where that was not checked.
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
    stable: bool | None = None


def identity(species: Species, settings: Settings) -> dict[str, dict[str, Any]]:
    """Everything that determines a record; a model's name comes with the fingerprint of its weights."""
    chosen = asdict(settings) | {"xc": fingerprint(settings.xc)}
    return {"species": {name: getattr(species, name) for name in DETERMINES}, "settings": chosen}


def record_path(folder: Path, species: Species, settings: Settings) -> Path:
    """File of a species: the hash covers geometry, occupation, basis and settings."""
    made = identity(species, settings)
    chosen = {name: value for name, value in made["settings"].items()
              if name not in ADDED or value != getattr(STANDARD, name)}
    omegas = chosen.pop("omegas")
    text = json.dumps([made["species"], chosen, omegas], sort_keys=True)
    return Path(folder) / f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.h5"


# ---------------------------------------------------------------------------------------------- writing


def save(folder: Path, species: Species, settings: Settings, record: Record) -> Path:
    """Writes a record, replacing an equal one.

    Raises:
        InvalidInput: the record holds NaN or infinity; nothing is written.
        NotWritten: the disk is full, or the folder cannot be written to; nothing is left behind.
    """
    path = record_path(folder, species, settings)
    _require_finite(species, record)
    image = io.BytesIO()
    with h5py.File(image, "w", libver="v110") as f:  # with checksums of data and of everything else
        for name, array in (("weights", record.weights), ("variables", record.variables),
                            ("ex_lr", [record.ex_lr[omega] for omega in settings.omegas]),
                            ("ex_sr", [record.ex_sr[omega] for omega in settings.local_omegas])):
            f.create_dataset(name, data=np.asarray(array), fletcher32=True)
        f.attrs["species"] = species.key
        f.attrs["made_with"] = json.dumps(identity(species, settings))
        for name in SCALARS:
            f.attrs[name] = getattr(record, name)
        if record.stable is not None:
            f.attrs["stable"] = record.stable
    try:
        files.write(path, image.getbuffer())
    except OSError as error:
        raise NotWritten(f"{path} could not be written ({error.strerror}): make room or choose another folder, and run "
                         "again; records written before are complete and stay") from error
    return path


def _require_finite(species: Species, record: Record):
    single = ("weights", "variables", "e_rest", "ex_full", "e_scf", "lost_electrons")
    numbers = {name: getattr(record, name) for name in single}
    numbers |= {f"{kind}[{omega}]": values for kind in ("ex_lr", "ex_sr")
                for omega, values in getattr(record, kind).items()}
    if bad := [name for name, values in numbers.items() if not np.isfinite(values).all()]:
        raise InvalidInput(f"the record of {species.key} holds NaN or infinity in {', '.join(bad)} and was not "
                           "written: check its geometry and basis, or leave the species out")


# ---------------------------------------------------------------------------------------------- reading


def load(species: Species, folder: Path, settings: Settings = STANDARD) -> Record:
    """Reads a record back.

    Raises:
        MissingRecord: it was not computed; the message says so where the folder has the species with other settings.
        InvalidInput: the file is damaged, or holds a record of another species or made with other settings.
    """
    path = record_path(folder, species, settings)
    if not path.is_file():
        raise MissingRecord(f"no density of {species.key} in {folder}{_relatives(species, folder, settings)}: compute "
                            "it with training.features")
    try:
        with h5py.File(path) as f:
            made_with = f.attrs.get("made_with")
            ex_lr = dict(zip(settings.omegas, f["ex_lr"][:].tolist(), strict=True))
            ex_sr = dict(zip(settings.local_omegas, f["ex_sr"][:], strict=True))
            stable = f.attrs.get("stable")
            record = Record(f["weights"][:], f["variables"][:], ex_lr=ex_lr, ex_sr=ex_sr,
                            stable=None if stable is None else bool(stable),
                            **{name: f.attrs[name].item() for name in SCALARS})
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise InvalidInput(f"{path}, the record of {species.key}, is damaged ({error}): delete it and compute "
                           "it anew with training.features") from error
    if made_with is not None and (found := differences(json.loads(made_with), identity(species, settings))):
        raise InvalidInput(f"{path} is no record of {species.key} with these settings: {found}; delete it, run again")
    return record


def is_whole(path: Path) -> bool:
    """Whether a record is there and can be opened: a file cut short cannot."""
    try:
        with h5py.File(path) as f:
            return "species" in f.attrs
    except OSError:
        return False


def differences(found: dict, wanted: dict) -> str:
    """What distinguishes two results of `identity`: `grid is 1, asked for 2`; empty where they agree."""
    wanted = json.loads(json.dumps(wanted))  # tuples become lists
    older = {name: getattr(STANDARD, name) for name in ADDED}
    found = found | {"settings": older | found["settings"]}
    return "; ".join(f"{name} is {found[part].get(name)}, asked for {value}"
                     for part in ("species", "settings") for name, value in wanted[part].items()
                     if found[part].get(name) != value)


def _relatives(species: Species, folder: Path, settings: Settings) -> str:
    """What the folder holds of the same species, as part of a sentence."""
    found = []
    for path in sorted(Path(folder).glob("*.h5")):
        try:
            with h5py.File(path) as f:
                same, made_with = f.attrs.get("species") == species.key, f.attrs.get("made_with")
        except OSError:
            continue
        if same:
            found.append(f"{path.name} ({differences(json.loads(made_with), identity(species, settings))})"
                         if made_with else f"{path.name} (its settings are not recorded)")
    return f" with these settings; other records of it: {', '.join(found)}" if found else ""
