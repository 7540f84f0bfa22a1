"""The uncertainty of an energy: each member's energy of the mean's density, in every kind of Kohn–Sham object."""

import numpy as np
import pytest
from pyscf import dft, gto

import mlxc
from mlxc import zoo
from mlxc.errors import InvalidInput, Unsupported
from mlxc.host import seam
from mlxc.xc.ensemble import combine
from tests.functionals import random_local_hybrid
from tests.host.support import converged, network, on_small_grid

KINDS = {
    "RKS": lambda water, ion, xc: dft.RKS(water, xc=xc),
    "UKS": lambda water, ion, xc: dft.UKS(ion, xc=xc),
    "ROKS": lambda water, ion, xc: dft.ROKS(ion, xc=xc),
    "density fitting": lambda water, ion, xc: dft.RKS(water, xc=xc).density_fit(),
    "PCM": lambda water, ion, xc: dft.UKS(ion, xc=xc).PCM(),
    "Newton": lambda water, ion, xc: dft.RKS(water, xc=xc).newton(),
    "X2C": lambda water, ion, xc: dft.RKS(water, xc=xc).sfx2c1e(),
}


@pytest.fixture(scope="module")
def means(registered) -> dict[str, str]:
    """A range-separated and a local hybrid of two members each, and the members by themselves."""
    made = {
        "rs": combine([network("toy", seed=seed) for seed in (1, 2)], "toy_mean_rs"),
        "lh": combine([random_local_hybrid(0.2, seed=seed) for seed in (1, 2)], "toy_mean_lh"),
        "equal": combine([network("toy")] * 3, "toy_mean_equal"),
        "equal lh": combine([random_local_hybrid(0.2)] * 3, "toy_mean_equal_lh"),
    }
    for functional in made.values():
        seam.register(functional)
        for m in range(functional.members):
            seam.register(functional.member(m))
    return {key: functional.name for key, functional in made.items()}


def calculated(make, water, cation, xc):
    mf = make(water, cation, xc)
    return on_small_grid(mf) if seam.local_hybrid(xc) else converged(mf)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ("rs", "lh"))
def test_each_energy_is_that_of_the_member_at_the_density_of_the_mean(form, kind, water, cation, means):
    mf = calculated(KINDS[kind], water, cation, means[form])
    found = mf.xc_uncertainty()
    assert found.energy == pytest.approx(mf.e_tot, abs=1e-9) and found.functional == means[form]
    assert found.std > 1e-4
    for m, energy in enumerate(found.energies):
        alone = KINDS[kind](water, cation, f"{means[form]}_{m}")
        alone.grids.level = 0
        if form == "lh":
            mlxc.set_local_exchange(alone, grid_level=0)
        assert energy == pytest.approx(alone.energy_tot(mf.make_rdm1()), abs=1e-8)


@pytest.mark.parametrize("form", ("equal", "equal lh"))
def test_equal_members_leave_no_uncertainty(form, water, means):
    mf = calculated(KINDS["RKS"], water, None, means[form])
    assert mf.xc_uncertainty().std < 1e-12
    assert mf.xc_uncertainty().energies == pytest.approx(mf.e_tot, abs=1e-11)


def test_one_electron_is_certain_with_a_local_hybrid(means):
    """Every member is Hartree–Fock there; of a range-separated hybrid's members exchange differs."""
    atom = gto.M(atom="H 0 0 0", basis="6-31g", spin=1, verbose=0)
    assert on_small_grid(dft.UKS(atom, xc=means["lh"])).xc_uncertainty().std < 1e-12
    assert converged(dft.UKS(atom, xc=means["rs"])).xc_uncertainty().std > 1e-5


def test_correlated_errors_cancel_in_a_reaction(means, hydrogen):
    atom = gto.M(atom="H 0 0 0", basis="6-31g", spin=1, verbose=0)
    h, h2 = (converged(dft.UKS(mol, xc=means["rs"])).xc_uncertainty() for mol in (atom, hydrogen))
    reaction = 2 * h - h2
    assert reaction.energies == pytest.approx(2 * h.energies - h2.energies, abs=1e-14)
    assert reaction.std == pytest.approx(np.std(2 * h.energies - h2.energies, ddof=1), abs=1e-14)
    assert (h2 - h2).std == 0 and (-h).energy == -h.energy
    same = np.float64(0.5) * h2 + h2 * np.int64(1)
    assert isinstance(same, mlxc.Uncertainty) and same.energy == pytest.approx(1.5 * h2.energy)
    assert sum([h, h]).std == (2 * h).std and (h / 2).energy == h.energy / 2


def test_what_has_no_common_members_is_not_combined():
    one, other, more = (mlxc.Uncertainty(name, np.arange(m, dtype=float)) for name, m in
                        (("a", 2), ("b", 2), ("a", 3)))
    for wrong in (other, more):
        with pytest.raises(InvalidInput, match="only energies by one functional can be combined"):
            one - wrong
    for wrong in (lambda: one + 1.0, lambda: one - 1.0, lambda: one * one, lambda: one * 1j):
        with pytest.raises(TypeError):
            wrong()


def test_a_functional_without_members_says_which_have_them(water, means):
    for xc in ("pbe", seam.search(means["rs"]).functional.member(0).name):
        with pytest.raises(InvalidInput, match=f"xc = '{xc}' has no members .* models with members: mlxc_lh, "):
            dft.RKS(water, xc=xc).xc_uncertainty()


def test_without_a_converged_energy_it_says_so(water, means):
    mf = dft.RKS(water, xc=means["rs"])
    with pytest.raises(InvalidInput, match=r"no converged energy: run mf.kernel\(\) first"):
        mf.xc_uncertainty()
    mf.grids.level, mf.max_cycle = 0, 1
    mf.kernel()
    with pytest.raises(InvalidInput, match="no converged energy"):
        mf.xc_uncertainty()


def test_the_energy_of_another_functional_is_none_of_this_ones(water, means):
    mf = converged(dft.RKS(water, xc="pbe"))
    mf.xc = means["rs"]
    with pytest.raises(InvalidInput, match="calculated with xc = 'pbe'"):
        mf.xc_uncertainty()


def test_two_component_orbitals_are_refused(water, means):
    with pytest.raises(Unsupported, match="it is for RKS, UKS and ROKS objects of molecules"):
        dft.GKS(water, xc=means["rs"]).xc_uncertainty()


def test_the_scale_of_the_card_multiplies_the_spread(registered, water):
    functional = combine([network("toy", seed=seed) for seed in (1, 2)], "toy_mean_scaled")
    functional.card = zoo.card("mlxc_rs") | {"uncertainty": {"scale": 3.0}}
    found = converged(dft.RKS(water, xc=seam.register(functional))).xc_uncertainty()
    assert found.std == pytest.approx(3 * np.std(found.energies, ddof=1)) and found.std > 1e-4
    assert (2 * found - found).std == pytest.approx(found.std)
