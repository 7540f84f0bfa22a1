"""A device that is not there: tensors in the host's memory that behave as if they were in another one.

As with a real device, an operation on a tensor of the device and one of the host fails, unless the latter is a single
number or an index, and `numpy()` fails before `cpu()`. What this does not check: kernels, precision, streams, memory.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map, tree_map_only

#: What the device calls itself: torch has no tensors of this kind but those made here, and no numbers in them.
NAME = "meta"

#: Operations that take indices, or copy, from the host's memory.
CROSSING = ("aten.index.Tensor", "aten.index_put_.default", "aten.index_put.default", "aten._index_put_impl_.default",
            "aten._to_copy.default", "aten.copy_.default")


class OnDevice(torch.Tensor):
    """A tensor of the device; ``held`` has its numbers."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, real: torch.Tensor):
        return torch.Tensor._make_wrapper_subclass(cls, real.shape, strides=real.stride(), dtype=real.dtype,
                                                   storage_offset=real.storage_offset(), device=NAME)

    def __init__(self, real: torch.Tensor):
        self.held = real

    def __repr__(self, **_):
        return f"OnDevice({self.held})"

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


class VirtualDevice(TorchDispatchMode):
    """While it is active, ``device="meta"`` is the device."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


def _run(function, args, kwargs):
    tensors = []
    tree_map_only(torch.Tensor, tensors.append, (args, kwargs))
    ours = any(isinstance(t, OnDevice) for t in tensors)
    if any(t.device.type == NAME and not isinstance(t, OnDevice) for t in tensors):
        raise NotImplementedError(f"{function}: torch made a tensor of the device past the stand-in, as it does of "
                                  "lists that are indices")
    target = kwargs.get("device")
    if ours and str(function) not in CROSSING:
        for t in tensors:
            if not isinstance(t, OnDevice) and t.ndim:
                raise RuntimeError(f"{function}: tensors on two devices")
    if target is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
        ours = torch.device(target).type == NAME
    found = function(*tree_map_only(OnDevice, lambda t: t.held, args),
                     **tree_map_only(OnDevice, lambda t: t.held, kwargs))
    name = function._schema.name
    if name.endswith("_") and not name.endswith("__"):
        return args[0]
    return tree_map(lambda t: OnDevice(t) if ours and isinstance(t, torch.Tensor) else t, found)
