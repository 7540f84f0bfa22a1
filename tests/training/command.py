"""The training command on the tests' own species, for tests that start it as a process and kill it.

    python -m tests.training.command [refine] CONFIG [MODEL] --data DIR --features DIR --out DIR

With MLXC_KILL_AT=n in the environment, the process kills itself before it writes the n-th checkpoint.
"""

import os
import signal
import sys
from types import SimpleNamespace

from tests.training.conftest import SPECIES, TARGETS
from training import checkpoint, data, optimise, refine, train

#: What is fitted.
CHOSEN = {key: SPECIES[key] for key in ("H", "H2", "H2+", "He")}


def dataset(*_) -> data.Dataset:
    """Species and targets, whatever the configuration says."""
    return data.Dataset(CHOSEN, [t for t in TARGETS if {key for key, _ in t.terms} <= CHOSEN.keys()])


def main():
    """The command with the tests' data."""
    data.from_config = dataset
    written = []

    def save(*arguments):
        written.append(arguments)
        if len(written) == int(os.environ.get("MLXC_KILL_AT", 0)):
            os.kill(os.getpid(), signal.SIGKILL)
        checkpoint.save(*arguments)

    optimise.checkpoint = SimpleNamespace(**vars(checkpoint) | {"save": save})
    if sys.argv[1] == "refine":
        del sys.argv[1]
        refine.main()
    else:
        train.main()


if __name__ == "__main__":
    main()
