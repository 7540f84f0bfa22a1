"""Where the energies of a fit are computed: on the processor, or on an NVIDIA GPU that was asked for.

On a GPU are grid points and a copy of the functional. Its parameters, the solution of the normal equations and all
that is written stay with the processor, in double precision, so that no checkpoint and no model depends on the device.
"""

import argparse
import copy
import os
import re
from dataclasses import dataclass

import torch

from mlxc.errors import InvalidInput
from mlxc.host.arrays import CPU, without_gpu
from mlxc.xc.functional import Learned

#: Part of a GPU's free memory that terms may fill; the rest is for what a block of points takes on its way back.
SHARE = 0.5


@dataclass(frozen=True)
class Place:
    """Where networks are evaluated, and in which precision.

    Attributes:
        device: of the terms.
        precision: of the networks and of what they see. What their outputs multiply, and every sum, is in float64.
    """

    device: torch.device = CPU
    precision: torch.dtype = torch.float64

    def copy(self, functional: Learned) -> Learned:
        """The functional there: a copy, or itself where it is there as it is."""
        if self == HERE:
            return functional
        there = copy.deepcopy(functional).to(self.device)
        there.networks.to(self.precision)
        return there

    @property
    def room(self) -> float:
        """Bytes that terms may take on the device; without limit on the processor, where the budget says enough."""
        if self.device.type != "cuda":
            return float("inf")
        torch.cuda.empty_cache()  # what torch keeps of the last fit counts as free
        return SHARE * torch.cuda.mem_get_info(self.device)[0]


#: The processor, in double precision.
HERE = Place()


def add_option(parser: argparse.ArgumentParser) -> None:
    """The option of the commands that fit."""
    parser.add_argument("--device", default=CPU.type, help="where the fit is computed: cpu, cuda or cuda:N")


def chosen(name: str) -> torch.device:
    """The device that the option ``--device`` names.

    Args:
        name: ``cpu``, ``cuda`` or ``cuda:N``; without a number, processes under torchrun take one GPU each, in turn.

    Raises:
        InvalidInput: another name, or a GPU that is not there or that this PyTorch cannot use.
    """
    if name == CPU.type:
        return CPU
    if not (found := re.fullmatch(r"cuda(?::(\d+))?", name)):
        raise InvalidInput(f"--device {name}: expected cpu, cuda or cuda:N, with the number N of a GPU from 0")
    without = "or leave --device out to fit on the processor"
    if reason := without_gpu():
        raise InvalidInput(f"--device {name}: {reason}; {without}")
    count = torch.cuda.device_count()
    index = int(found[1] or int(os.environ.get("LOCAL_RANK", 0)) % count)
    if index >= count:
        there = ", ".join(f"cuda:{i}" for i in range(count))
        raise InvalidInput(f"--device {name}: PyTorch finds {there} only: give one of them, {without}")
    return torch.device("cuda", index)
