"""The network: a linear form of its inputs plus a small multilayer perceptron as correction; or several of them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """y = y₀ + L x + W_k tanh(… tanh(W_1 x + c_1) …), a smooth function with derivatives of every order.

    The last layer of the perceptron starts at zero, so that training begins at the linear form.

    Args:
        inputs: number of inputs.
        start: value y₀ at which the outputs start; its length is the number of outputs.
        width, depth: hidden units per layer and number of hidden layers.
    """

    def __init__(self, inputs: int, start: tuple[float, ...], width: int, depth: int):
        super().__init__()
        self.inputs = inputs
        self.linear = nn.Linear(inputs, len(start))
        sizes = [inputs] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False))
        self.out = nn.Linear(sizes[-1], len(start), bias=False)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.linear.weight)
        with torch.no_grad():
            self.linear.bias.copy_(torch.tensor(start))

    def forward(self, inputs: Tensor) -> Tensor:
        """Args: inputs (n, inputs). Returns: (n, outputs)."""
        x = inputs
        for layer in self.hidden:
            x = torch.tanh(layer(x))
        return self.linear(inputs) + self.out(x)


class StackedNetwork(nn.Module):
    """M networks of one size at once: the parameters of `Network` under their names, with a leading axis of members.

    Args:
        members: networks, whose parameters are copied.
    """

    def __init__(self, members: Sequence[Network]):
        super().__init__()
        self.inputs = members[0].inputs
        self.linear = _StackedLinear([m.linear for m in members])
        layers = zip(*(m.hidden for m in members), strict=True)
        self.hidden = nn.ModuleList(_StackedLinear(layer) for layer in layers)
        self.out = _StackedLinear([m.out for m in members])

    def forward(self, inputs: Tensor) -> Tensor:
        """Args: inputs (n, inputs). Returns: (M, n, outputs)."""
        x = inputs = inputs.T.contiguous()  # points last, in long rows
        for layer in self.hidden:
            x = torch.tanh(layer(x))
        return (self.linear(inputs) + self.out(x)).mT


class _StackedLinear(nn.Module):
    """y_m = W_m x_m + c_m of inputs (k, n), the same for all members, or (M, k, n)."""

    def __init__(self, layers: Sequence[nn.Linear]):
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        bias = [layer.bias.detach() for layer in layers if layer.bias is not None]
        self.bias = nn.Parameter(torch.stack(bias)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        x = x.expand(len(self.weight), *x.shape[-2:])
        return self.weight @ x if self.bias is None else torch.baddbmm(self.bias[..., None], self.weight, x)
