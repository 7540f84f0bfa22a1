"""The lowest excitation of each spin is the lowest eigenvalue of the response's own matrices."""

import numpy as np
import pytest
from pyscf import dft, gto, scf, tdscf
from pyscf.tdscf import _lr_eig

from mlxc.bench.excited import lowest_excitations

LIH = "Li 0 0 0; H 0 0 1.6"


def closed(atom: str, xc: str = "hf"):
    mol = gto.M(atom=atom, basis="6-31g", verbose=0)
    return (scf.RHF(mol) if xc == "hf" else dft.RKS(mol, xc=xc)).run(conv_tol=1e-11)


def square(block: np.ndarray) -> np.ndarray:
    """A block (occupied, virtual, occupied, virtual) as a matrix of pairs."""
    return block.reshape(block.shape[0] * block.shape[1], -1)


def lowest_root(a: np.ndarray, b: np.ndarray) -> float:
    """Of the full response with the matrices A and B."""
    return np.sqrt(np.linalg.eigvals((a - b) @ (a + b)).real.min())


@pytest.mark.parametrize("xc", ("hf", "pbe"))
def test_closed_shells_have_singlets_by_full_response_and_triplets_by_half_of_it(xc):
    mf = closed(LIH, xc)
    found = lowest_excitations(mf)
    assert found["singlet"] == pytest.approx(lowest_root(*map(square, tdscf.TDDFT(mf).get_ab())), abs=1e-6)
    triplets = tdscf.TDA(mf).set(singlet=False, nstates=20).run().e
    assert found["triplet"] == pytest.approx(triplets[0], abs=1e-6)
    assert found["triplet"] < found["singlet"] and set(found) == {"singlet", "triplet"}


def test_a_triplet_below_the_ground_state_has_a_negative_energy():
    """Of stretched H₂: the difference of the energies of two determinants in a minimal basis."""
    mol = gto.M(atom="H 0 0 0; H 0 0 3", basis="sto-3g", verbose=0)
    ground, triplet = mol.RHF().run(), mol.copy().set(spin=2).build().UHF().run()
    assert triplet.e_tot - ground.e_tot < -0.1
    assert lowest_excitations(ground)["triplet"] == pytest.approx(triplet.e_tot - ground.e_tot, abs=1e-6)


def test_open_shells_keep_their_spins():
    mf = gto.M(atom="Be 0 0 0; H 0 0 1.34", basis="6-31g", spin=1, verbose=0).UHF().run(conv_tol=1e-11)
    a, b = (np.block([[square(aa), square(ab)], [square(ab).T, square(bb)]]) for aa, ab, bb in tdscf.TDDFT(mf).get_ab())
    assert lowest_excitations(mf) == {"same_spin": pytest.approx(lowest_root(a, b), abs=1e-6)}


def test_the_response_may_have_a_grid_of_its_own():
    mf = closed(LIH, "pbe")
    own, step = mf.grids, _lr_eig.MAX_SPACE_INC
    coarse, fine = lowest_excitations(mf, 0), lowest_excitations(mf)
    assert 1e-7 < abs(coarse["singlet"] - fine["singlet"]) < 1e-2
    assert mf.grids is own and _lr_eig.MAX_SPACE_INC == step


def test_what_does_not_converge_is_left_out(monkeypatch):
    monkeypatch.setattr(tdscf.rhf.TDBase, "max_cycle", 1)
    assert lowest_excitations(closed(LIH)) == {}


def test_a_saddle_point_has_no_full_response():
    """The response of C₂'s closed shell is not positive; triplets below it are there."""
    mf = closed("C 0 0 0; C 0 0 1.24", "pbe0")
    found = lowest_excitations(mf)
    assert "singlet" not in found and found["triplet"] < 0


def test_other_errors_are_errors(monkeypatch):
    def broken(self, *args, **kwargs):
        raise RuntimeError("no memory")

    monkeypatch.setattr(tdscf.rhf.TDHF, "kernel", broken)
    with pytest.raises(RuntimeError, match="no memory"):
        lowest_excitations(closed(LIH))
