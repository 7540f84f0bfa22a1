"""Safe operations: value and derivatives to third order, where the plain operations have none."""

import pytest
import torch
from torch.autograd import grad, gradcheck, gradgradcheck

from mlxc.xc import safe

EDGES = (-1.0, 0.0, 1e-300, 1e-12, 1.0, 1e30)

OPERATIONS = {
    "power": lambda x: safe.power(x, -8 / 3, floor=1e-20),
    "root": lambda x: safe.power(x, 1 / 3, floor=1e-20),
    "divide": lambda x: safe.divide(1 + x, x, floor=1e-20, otherwise=1.0),
    "branch": lambda x: safe.branch(x > 0.5, x, torch.log, lambda y: (1 - y).sqrt(), x_in=1.0, x_out=0.0),
}


def derivatives(f, x, order=3):
    x = x.clone().requires_grad_()
    out = [f(x)]
    for _ in range(order):
        out.append(grad(out[-1].sum(), x, create_graph=True)[0])
    return torch.stack(out).detach()


def assert_finite_derivatives(f, points=EDGES):
    d = derivatives(f, torch.tensor(points, dtype=torch.float64))
    assert torch.isfinite(d).all(), d


@pytest.mark.parametrize("name", OPERATIONS)
def test_safe_operation_is_finite_to_third_order(name):
    assert_finite_derivatives(OPERATIONS[name])


def test_a_single_where_is_caught():
    with pytest.raises(AssertionError):
        assert_finite_derivatives(lambda x: torch.where(x > 0, x.abs().sqrt(), 0.0))


@pytest.mark.parametrize("name", OPERATIONS)
def test_safe_operation_passes_gradcheck(name):
    x = torch.tensor([0.2, 0.45, 0.7, 2.0], dtype=torch.float64, requires_grad=True)
    assert gradcheck(OPERATIONS[name], x)
    assert gradgradcheck(OPERATIONS[name], x)


def test_power_keeps_its_floor_value_without_slope():
    d = derivatives(lambda x: safe.power(x, 0.5, floor=0.25), torch.tensor([-1.0, 0.0, 0.1], dtype=torch.float64))
    assert torch.equal(d[0], torch.full((3,), 0.5, dtype=torch.float64))
    assert not d[1:].any()


def test_divide_is_exact_above_its_floor_and_constant_below():
    a = torch.tensor([3.0, 3.0], dtype=torch.float64)
    b = torch.tensor([7.0, 0.0], dtype=torch.float64)
    assert safe.divide(a, b, floor=1e-20, otherwise=-1.0).tolist() == [3 / 7, -1.0]


def test_branch_takes_each_side_on_its_own_domain():
    x = torch.tensor([0.19, 4.0], dtype=torch.float64)
    torch.testing.assert_close(OPERATIONS["branch"](x), torch.tensor([0.9, 4.0], dtype=torch.float64).where(
        torch.tensor([True, False]), torch.log(x)), rtol=1e-15, atol=0)
