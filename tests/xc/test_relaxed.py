"""Functionals without some of the constraints: what is left out is broken, and nothing else."""

from dataclasses import replace

import pytest
import torch
from pyscf import gto

import mlxc
from mlxc import zoo
from mlxc.errors import InvalidInput
from mlxc.xc import constraints, relaxed, violations
from mlxc.xc.density import Density
from mlxc.xc.ensemble import combine
from mlxc.xc.functional import LocalHybrid, RangeSeparated
from mlxc.xc.reference.lda import lda_exchange, short_range_lda_exchange
from mlxc.xc.relaxed import RELAXABLE, LongRange, RelaxedLocalHybrid, RelaxedRangeSeparated
from mlxc.zoo.store import untrained
from tests.functionals import randomised
from training import points
from training.density import record_of
from training.record import Settings

FORMS = {"rs": ({"omega": 0.3, "sr_fraction": 0.2}, RangeSeparated, RelaxedRangeSeparated),
         "lh": ({"local_omega": 0.4, "b_max": 2.0}, LocalHybrid, RelaxedLocalHybrid)}
EVERYTHING = tuple(RELAXABLE)


def made(kind: str, without: tuple[str, ...], scale: float = 1.0, name: str = "relaxed_test"):
    network = {"width": 3, "depth": 1, "relaxed": list(without), "hole": kind == "lh"}
    return randomised(lambda: untrained(kind, FORMS[kind][0], network, name), scale, 3)


@pytest.mark.parametrize("kind", FORMS)
def test_nothing_is_relaxed_unless_it_is_named(kind):
    exchange, hard, soft = FORMS[kind]
    assert type(untrained(kind, exchange, {"width": 3, "depth": 1}, "x")) is hard
    assert type(made(kind, ("bounds",))) is soft


@pytest.mark.parametrize("without", RELAXABLE)
@pytest.mark.parametrize("kind", FORMS)
def test_what_is_left_out_is_broken_and_nothing_else(kind, without):
    functional = made(kind, (without,), 3.0)
    measured = {m.id: m for m in constraints.measure(functional) if m.claimed}
    broken = {law for law, m in measured.items() if not m.ok}
    assert broken <= relaxed.broken([without])
    assert RELAXABLE[without][0] in broken


@pytest.mark.parametrize("kind", FORMS)
def test_symmetry_holds_without_everything(kind):
    functional = made(kind, EVERYTHING, 0.3)
    for law in ("spin_symmetry", "spin_scaling", "coordinate_scaling"):
        assert next(m for m in constraints.measure(functional) if m.id == law).ok


@pytest.mark.parametrize("kind", FORMS)
def test_a_constraint_that_the_parameters_happen_to_meet_changes_nothing(kind):
    """N_3 = 0 and c = 1 are the constrained functional."""
    soft = made(kind, ("uniform_gas", "long_range"))
    hard = untrained(kind, FORMS[kind][0], {"width": 3, "depth": 1, "hole": kind == "lh"}, "x")
    with torch.no_grad():
        soft.long_range.fill_(1.0)
        for key, net in hard.networks.items():
            other = soft.networks[key]
            for values in (other.linear.weight, other.linear.bias, other.out.weight):
                values[2:] = 0
            outputs = len(net.linear.bias)
            net.load_state_dict({k: v[:outputs] if k.startswith(("linear", "out")) else v
                                 for k, v in other.state_dict().items()})
    d = violations.sampled_density(300)
    exact = violations.any_exact_exchange(d)
    torch.testing.assert_close(violations.energy(soft, d, exact), violations.energy(hard, d, exact),
                               rtol=1e-12, atol=0)


def test_the_long_range_terms_replace_exact_exchange():
    """(1 − c) (e_x^{LR,sl} − e_x^{LR,HF}), and the gas's full exchange where F = 1."""
    functional = made("lh", ("long_range",), 0.0)
    with torch.no_grad():
        functional.long_range.fill_(0.25)
    gas = violations.uniform_gas(20)
    terms = list(functional.long_range_terms(gas))
    expected = 0.75 * sum(lda_exchange(rho) - short_range_lda_exchange(rho, 0.4) for rho in gas.rho)
    torch.testing.assert_close(functional.sum(terms), expected, rtol=1e-12, atol=0)
    assert float(functional.term_energy(functional.exact_long_range(-2.0))) == pytest.approx(0.75 * 2.0)
    assert functional.lr_fraction == 0.25 and {type(t) for t in terms} == {LongRange}


@pytest.mark.parametrize("kind", FORMS)
def test_the_host_computes_what_is_stored(kind, tmp_path):
    """A model file without any constraint: its self-consistent energy is that of the parts of its density."""
    functional = made(kind, EVERYTHING, 0.1, f"relaxed_{kind}")
    settings = Settings(omegas=(functional.local_omega,), cutoff=0.0, grid=1)
    path = zoo.save(tmp_path, functional, card(kind, functional))
    found = zoo.load(str(path))
    assert type(found) is type(functional) and found.lr_fraction == pytest.approx(functional.lr_fraction)
    mol = gto.M(atom="O 0 0 0; H 0 0 0.97", basis="def2-svp", spin=1, verbose=0)
    mf = mlxc.UKS(mol, xc=mlxc.register(found))
    mf.grids.level = 1
    mf.conv_tol = 1e-10
    mf.kernel()
    assert mf.converged
    record = record_of(mf, settings)
    terms = points.evaluated(found, points.Points.of(found, record))
    energy = record.e_rest + record.ex_lr[found.omega] + found.sr_fraction * (record.ex_full
                                                                             - record.ex_lr[found.omega])
    energy += float(sum(found.term_energy(t).sum() for t in terms))
    assert mf.e_tot == pytest.approx(energy, abs=2e-5)  # the local part has a grid of its own


def card(kind: str, functional) -> dict:
    exact = {key: getattr(functional, key) for key in ("omega", "sr_fraction", "lr_fraction")}
    return {"name": functional.name, "version": "0", "kind": kind, "description": "test", "claims": [],
            "exchange": FORMS[kind][0] | exact, "network": functional.network,
            "domain": {"elements": ["H", "O"], "charges": [0], "spins": [0, 1]}}


def test_what_cannot_be_relaxed_is_named():
    with pytest.raises(InvalidInput, match="has 'one_elektron'; there are one_electron, .* did you mean one_electron"):
        made("lh", ("one_elektron",))


def test_ensembles_of_them_are_refused():
    with pytest.raises(InvalidInput, match="is a RelaxedLocalHybrid, expected one of"):
        combine([made("lh", ("bounds",)), made("lh", ("bounds",))], "x")


def test_terms_of_closed_and_open_shells_agree():
    functional = made("lh", EVERYTHING, 0.5)
    d = violations.sampled_density(50)
    rho, sigma, tau = d.rho[0], d.sigma[0], d.tau[0]
    closed = Density.unpolarized(2 * rho, 4 * sigma, 2 * tau)
    opened = replace(closed, closed_shell=False)
    torch.testing.assert_close(functional.edens(closed), functional.edens(opened), rtol=1e-12, atol=0)
