"""Linear response of local hybrids: what PySCF's second-order SCF, stability analysis, TDDFT and CPHF ask for.

A change X of the density matrix changes the variables y_σ = (n, ∇n, τ, e_x)_σ of the replacement's energy density e to
first order by y¹, and the Fock matrix of the local part by

    V¹ = Σ_r w Σ_y (∂²e/∂y∂y′ · y′¹) ∂y/∂D + K_f[X],   f = w ∂e/∂e_x

The first term is as in every functional of the density, with e_x as one more variable; it is blind to the antisymmetric
part of X. K_f is the change of ∂e_x/∂D itself (`mlxc.host.exchange_response`). All else that responds comes from PySCF
under the name of the semilocal part.

A change that rotations of orbitals make has an occupied orbital on one side, and V¹ is asked for where one index is an
occupied orbital's. The block between virtual orbitals is left out.
"""

import weakref

import numpy as np
import torch
from pyscf import lib
from pyscf.scf import _response_functions, hf, rohf, uhf  # noqa: F401 (the first gives the others gen_response)
from torch import Tensor

from mlxc.errors import Unsupported
from mlxc.host import local, seam
from mlxc.host.arrays import from_torch, host_threads, over_blocks, to_torch
from mlxc.host.exchange_response import TOGETHER, ExchangeResponse
from mlxc.host.local import LocalPart
from mlxc.host.semilocal import pair_density
from mlxc.xc import pointwise

#: Elements of a change between virtual orbitals below this fraction of its largest are round-off.
BETWEEN_VIRTUALS = 1e-6


class LocalResponse:
    """Second derivative of the local part's energy at one density matrix.

    Attributes:
        part: functional, molecule and grid.
        dm: the density matrix, (nao, nao) of a closed shell or (2, nao, nao).
    """

    def __init__(self, part: LocalPart, dm):
        self.part, self.dm = part, dm
        state = part.at(dm)
        self._closed = state.exact.ndim == 1
        self._rho = (state.rho / 2).expand(2, -1, -1) if self._closed else state.rho
        self._exact = state.exact.expand(2, -1)
        *_, v_exact = pointwise.value_and_gradient(part.functional, self._rho, self._exact,
                                                   over_blocks(self._rho.device))
        f = part.weights * v_exact
        self._exchange = ExchangeResponse(part.exchange, dm, f[0] if self._closed else f)
        self._tables: dict[bool, Tensor] = {}

    def __call__(self, dm1, hermi: int = 0, triplet: bool = False, partly: bool = False):
        """Change of the local part's Fock matrix with the density matrix.

        Args:
            dm1: changes of the whole density matrix of a closed shell, (…, nao, nao), spin a's being half of it, spin
                b's the other half or (``triplet``) its negative; or of both spins, (2, …, nao, nao), as in PySCF.
            hermi: 1 symmetric, 2 antisymmetric, 0 neither.
            partly: leave out what the changes have between virtual orbitals, instead of refusing it.

        Returns:
            Array of the shape of ``dm1``, Ha; spin a's of a closed shell.

        Raises:
            Unsupported: complex changes; changes between virtual orbitals.
        """
        changes = np.asarray(dm1) / 2 if self._closed else np.moveaxis(np.asarray(dm1), 0, -3)
        v1, x = to_torch(self._exchange.kernel(changes, hermi)), to_torch(changes)
        sets = x.reshape(-1, *x.shape[-2 if self._closed else -3:])
        if not partly:
            self._require_occupied(sets)
        if hermi != 2:
            v1 += torch.cat([self._through_variables(some, triplet) for some in sets.split(TOGETHER)]).reshape(v1.shape)
        return from_torch(v1 if self._closed else v1.movedim(-3, 0), dm1)

    def _require_occupied(self, sets: Tensor):
        """Refuses changes that rotations of orbitals do not make."""
        for o, x in zip(self._exchange.orbitals, sets.reshape(len(sets), -1, *sets.shape[-2:]).unbind(1), strict=True):
            y, z = o.changed(x, self.part.exchange.overlap)
            if ((x - y @ o.coeff.T - o.coeff @ z.mT).abs() > BETWEEN_VIRTUALS * x.abs().max()).any():
                raise Unsupported("the response of local exchange to changes of the density matrix between virtual "
                                  "orbitals: give changes that rotations of the orbitals make, C_vir x C_occ.T")

    def _through_variables(self, x: Tensor, triplet: bool) -> Tensor:
        """Σ_r w (∂²e/∂y∂y′ · y′¹) ∂y/∂D of several changes."""
        e1 = to_torch(self._exchange.energy_density(x))
        with host_threads():
            y1 = torch.cat((self._rows(x), e1[..., None, :]), -2)
            table = self._second_derivatives(triplet)
            v1 = torch.einsum("akn,kbn->abn", y1.reshape(-1, *table.shape[1:]), table).reshape(y1.shape)
            semilocal = self.part.completed(v1[..., :5, :], self._exchange.orbitals)
            return semilocal + to_torch(self._exchange.matrix(v1[..., 5, :]))

    def _second_derivatives(self, triplet: bool) -> Tensor:
        """w ∂²e/∂y∂y′ of n points, (k, k, n), with k = 6 for a closed shell and 12 for both spins.

        Column by column: of a closed shell's, both spins change alike or oppositely, and spin a's rows are kept.
        """
        if triplet not in self._tables:
            spins = 1 if self._closed else 2
            columns = []
            for k in range(6 * spins):
                unit = torch.zeros(2, 6, 1, dtype=torch.float64, device=self._rho.device)
                unit[divmod(k, 6)] = 1
                if self._closed:
                    unit[1] = -unit[0] if triplet else unit[0]
                unit = unit.expand(-1, -1, self._rho.shape[-1])
                v_rho, v_exact = pointwise.hessian_product(self.part.functional, self._rho, self._exact, unit[:, :5],
                                                           unit[:, 5], over_blocks(self._rho.device))
                columns.append(torch.cat((v_rho, v_exact[:, None]), 1)[:spins].flatten(0, 1))
            self._tables[triplet] = self.part.weights * torch.stack(columns)
        return self._tables[triplet]

    def _rows(self, x: Tensor) -> Tensor:
        """n¹, ∇n¹ and τ¹ of changes (sets, nao, nao) or (sets, 2, nao, nao), (sets, …, 5, n)."""
        rows = x.new_zeros(*x.shape[:-2], 5, self._rho.shape[-1])
        spins = range(len(self._exchange.orbitals))
        each, out = x.reshape(len(x), len(spins), *x.shape[-2:]), rows.reshape(len(x), len(spins), *rows.shape[-2:])
        changed = [torch.stack(o.changed((each[:, s] + each[:, s].mT) / 2, self.part.exchange.overlap)).sum(0)
                   for s, o in enumerate(self._exchange.orbitals)]
        for _, points in self.part.exchange.grid((self._rho[:, 0] != 0).any(0)):
            ao = self.part.exchange.grid.orbitals(points, 1)
            for s, (o, orbitals) in enumerate(zip(self._exchange.orbitals, changed, strict=True)):
                phi = o.coeff.T @ ao
                for u, found in zip(orbitals, out[:, s], strict=True):
                    found[:, points] = pair_density(phi, u.T @ ao)
        return rows


# ------------------------------------------------------------------------------------ PySCF's side

#: The response that was made last for each local part, as long as somebody uses it.
_latest: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def install():
    """Wraps PySCF's response functions, once."""
    seam.wrap(hf.RHF, "gen_response", _restricted)
    seam.wrap(uhf.UHF, "gen_response", _unrestricted)
    seam.wrap(rohf.ROHF, "gen_response", _unrestricted)


def _restricted(original, mf, mo_coeff=None, mo_occ=None, singlet=None, hermi=0, max_memory=None, with_nlc=True):
    """The function X → V¹ of a closed shell; singlet None or True: both spins change alike, False: oppositely."""
    settings = {"singlet": singlet, "hermi": hermi, "max_memory": max_memory, "with_nlc": with_nlc}
    return _with_local_part(original, mf, mo_coeff, mo_occ, settings, triplet=singlet is False)


def _unrestricted(original, mf, mo_coeff=None, mo_occ=None, with_j=True, hermi=0, max_memory=None, with_nlc=True):
    """The function X → V¹ of both spins."""
    if _flips(with_j, hermi) and seam.local_hybrid(getattr(mf, "xc", None)):
        lib.logger.warn(mf, "UKS to GKS instability: PySCF takes the kernel of spin-conserving changes for spin flips, "
                        "and GKS does not work with %s; do not rely on it", mf.xc)
    settings = {"with_j": with_j, "hermi": hermi, "max_memory": max_memory, "with_nlc": with_nlc}
    return _with_local_part(original, mf, mo_coeff, mo_occ, settings)


def _flips(with_j: bool, hermi: int) -> bool:
    """Whether PySCF's stability analysis asks for spin flips, whose changes are no spin's own rotations."""
    return not with_j and hermi == 0


def _with_local_part(original, mf, mo_coeff, mo_occ, settings: dict, triplet: bool = False):
    entry = seam.local_hybrid(getattr(mf, "xc", None))
    if entry is None:
        return original(mf, mo_coeff, mo_occ, **settings)
    coeff = np.asarray(mf.mo_coeff if mo_coeff is None else mo_coeff)
    occ = np.asarray(mf.mo_occ if mo_occ is None else mo_occ, dtype=float)
    if np.iscomplexobj(coeff):
        raise Unsupported(f"{entry.name}: the orbitals are complex, its response needs real ones")
    if occ.ndim == 1 and isinstance(mf, uhf.UHF | rohf.ROHF):  # PySCF would take them for a closed shell's
        coeff, occ = np.stack((coeff, coeff)), np.stack((occ > 0, occ == 2)).astype(float)
    response = _response(mf, entry, coeff, occ)
    flips = _flips(settings.get("with_j", True), settings["hermi"])
    with lib.temporary_env(mf, xc=entry.semilocal):
        rest = original(mf, coeff, occ, **settings)

    def respond(dm1):
        with lib.temporary_env(mf, xc=entry.semilocal):
            v1 = rest(dm1)
        return v1 + response(dm1, settings["hermi"], triplet, partly=flips)

    return respond


def _response(mf, entry, coeff: np.ndarray, occ: np.ndarray) -> LocalResponse:
    """The local part's response for these orbitals; one that is in use for the same ones is shared."""
    part = local.part(mf._numint, mf.mol, entry.functional, mf.max_memory)
    dm = lib.tag_array((coeff * occ[..., None, :]) @ coeff.swapaxes(-1, -2), mo_coeff=coeff, mo_occ=occ)
    latest = _latest.get(part, lambda: None)()
    if latest is None or not np.array_equal(latest.dm, dm):
        latest = LocalResponse(part, dm)
        _latest[part] = weakref.ref(latest)
    return latest
