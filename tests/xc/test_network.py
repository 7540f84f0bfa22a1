"""The network: linear start, shape, smoothness."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from mlxc.xc.network import Network


def test_untrained_network_is_constant():
    outputs = Network(3, (1.0, -0.5), width=5, depth=2).double()(torch.randn(20, 3, dtype=torch.float64))
    assert torch.equal(outputs, torch.tensor([[1.0, -0.5]], dtype=torch.float64).expand(20, 2))


def test_perceptron_starts_at_zero_and_is_trainable_from_there():
    """The output layer has a gradient although it is zero; the hidden layers follow."""
    network = Network(2, (0.0,), width=4, depth=1).double()
    network(torch.randn(9, 2, dtype=torch.float64)).sum().backward()
    assert network.out.weight.grad.abs().min() > 0
    assert not network.hidden[0].weight.grad.any()


@pytest.mark.parametrize("depth, width", ((0, 7), (1, 7), (3, 2)))
def test_parameters_are_those_of_the_architecture(depth, width):
    sizes = [4, *[width] * depth]
    hidden = sum(a * b + b for a, b in zip(sizes, sizes[1:], strict=False))
    found = sum(p.numel() for p in Network(4, (0.0, 0.0), width, depth).parameters())
    assert found == (4 * 2 + 2) + hidden + sizes[-1] * 2


def test_network_is_smooth():
    torch.manual_seed(0)
    network = Network(2, (0.3,), width=3, depth=2).double()
    torch.nn.init.normal_(network.out.weight)
    x = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(network, x) and gradgradcheck(network, x)


def test_points_do_not_see_each_other():
    network = Network(3, (0.0, 0.0), width=5, depth=2).double()
    torch.nn.init.normal_(network.out.weight)
    x = torch.randn(8, 3, dtype=torch.float64)
    torch.testing.assert_close(network(x)[5:6], network(x[5:6]), rtol=1e-14, atol=1e-14)
