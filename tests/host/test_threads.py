"""The tests run with one thread per process, users' runs with as many as there are cores: the same numbers."""

import numpy as np
import pytest
from pyscf import dft, lib

from tests.host.support import converged, direction


@pytest.mark.parametrize("kind", ["xc", "lh"])
def test_threads_change_nothing(kind, request, cation):
    """Fock matrix, response and force, in one thread and in three."""
    with lib.with_omp_threads(1):
        mf = converged(dft.UKS(cation, xc=request.getfixturevalue(kind)))
    dm = np.asarray(mf.make_rdm1())
    x = direction(*dm.shape[-2:])

    def results() -> list:
        veff = mf.get_veff(dm=dm)
        return [np.asarray(veff), veff.exc, mf.gen_response(hermi=1)(x @ dm + dm @ x.T), mf.nuc_grad_method().kernel()]

    with lib.with_omp_threads(1):
        alone = results()
    with lib.with_omp_threads(3):
        for one, three in zip(alone, results(), strict=True):
            np.testing.assert_allclose(three, one, rtol=0, atol=1e-10)
