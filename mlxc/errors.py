"""Exceptions of mlxc: each says what was wrong, what is accepted and what to do."""


class MlxcError(Exception):
    """Base class of every error that mlxc raises on purpose."""


class UnknownFunctional(MlxcError, KeyError):
    """A functional name that no model file and no reference functional carries."""

    def __str__(self):
        return str(self.args[0]) if self.args else ""


class InvalidDensity(MlxcError, ValueError):
    """A density with a wrong shape, negative values or NaN."""


class InvalidInput(MlxcError, ValueError):
    """A molecule, option or file that cannot be computed."""


class InvalidModel(MlxcError, ValueError):
    """A model file that is damaged, truncated, changed or foreign."""


class Unsupported(MlxcError, NotImplementedError):
    """A combination of features that has no implementation, so that nothing is computed in its place."""


class IncompatibleHost(MlxcError, ImportError):
    """A version of PySCF or GPU4PySCF whose private hooks differ from the ones mlxc registers in."""


class OutOfMemory(MlxcError, MemoryError):
    """A calculation for which a device has not enough memory."""


class DomainWarning(UserWarning):
    """A system outside the training domain of the functional."""


class MemoryWarning(UserWarning):
    """A memory budget with which a calculation goes on, but slowly."""
