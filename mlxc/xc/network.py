"""The network: a linear form of its inputs plus a small multilayer perceptron as correction."""

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
