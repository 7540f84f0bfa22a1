"""The whole table, for the models that come with mlxc and for random weights."""

import math
import warnings

import numpy as np
import pytest
import torch

from mlxc import checking, zoo
from mlxc.errors import DomainWarning
from mlxc.host import physics
from mlxc.host.physics import scf
from mlxc.xc import constraints
from mlxc.xc.constraints import CLAIMS, Constraint
from tests.functionals import random_local_hybrid


@pytest.mark.slow
@pytest.mark.parametrize("constraint", physics.CONSTRAINTS, ids=lambda c: c.id)
@pytest.mark.parametrize("name", zoo.names())
def test_shipped_models_obey(name, constraint):
    model = zoo.load(name)
    if constraint.id not in CLAIMS[model.card["kind"]]:
        pytest.skip("not claimed")
    assert constraint.violation(model) <= constraint.tolerance


@pytest.mark.slow
@pytest.mark.parametrize("constraint", [c for c in physics.CONSTRAINTS if c.hard], ids=lambda c: c.id)
@pytest.mark.parametrize("scale", [0.4, 1.0])
def test_local_hybrids_of_any_weights_obey_the_hard_laws(scale, constraint):
    with torch.random.fork_rng():
        torch.manual_seed(2)
        functional = random_local_hybrid(scale, seed=2)
    assert constraint.violation(functional) <= constraint.tolerance


def test_every_constraint_has_its_equation_and_place():
    for c in physics.CONSTRAINTS:
        assert c.law and c.enforced and math.isfinite(c.tolerance)
        assert c.source.startswith("doi:10.") or c.id in ("size_consistency", "ion_and_molecule", "spin_flip",
                                                          "closed_shell", "rotation_invariance")
    assert len({c.id for c in constraints.CONSTRAINTS + physics.CONSTRAINTS}) == 24


def test_what_does_not_converge_is_no_energy(lh):
    mf = scf.kohn_sham("RKS", scf.molecule("H 0 0 0; F 0 0 0.9", basis="sto-3g"), lh, level=0).set(max_cycle=1)
    assert math.isnan(scf.energy(mf))
    assert math.isnan(scf.worst([1.0, np.nan, 0.0])) and scf.worst([-3.0, 1.0]) == 3


def test_what_does_not_converge_is_printed_as_not_measured(functional, card_fields, monkeypatch):
    functional.card = card_fields | {"claims": ["law"]}
    law = Constraint("law", "0 = 0", "nowhere", "", lambda functional: math.nan, 1e-9)
    monkeypatch.setattr(checking.constraints, "CONSTRAINTS", (law,))
    monkeypatch.setattr(checking.physics, "CONSTRAINTS", ())
    (row,) = checking.check_model(functional)
    assert row["violation"] is None and row["claimed"] and not row["ok"]
    assert "not measured" in checking.rows_as_text([row]) and "VIOLATED" in checking.rows_as_text([row])


def test_measures_ignore_what_a_model_was_trained_on():
    """H₃²⁺ is outside the domain on the card; a warning would be an error here."""
    mol = scf.molecule("H 0 0 0; H 0 0 1; H 0 0.8 0.5", charge=2, spin=1, basis="sto-3g")
    mf = scf.kohn_sham("UKS", mol, zoo.load("mlxc_rs"), level=0)
    scf.run(mf)
    assert mf.converged
    with warnings.catch_warnings(), pytest.raises(DomainWarning):
        warnings.simplefilter("error", DomainWarning)
        mf.kernel()
