"""What `import mlxc` does and costs."""

import subprocess
import sys

import mlxc

#: Seconds that importing mlxc may take beyond importing torch and pyscf.
LIMIT_S = 1.0


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.strip()


def test_importing_is_quick():
    code = ("import time, torch, pyscf.dft; start = time.process_time(); import mlxc; "
            "print(time.process_time() - start)")
    assert float(_python(code)) < LIMIT_S


def test_importing_reads_no_weights_and_keeps_torchs_settings():
    code = ("import sys, torch; before = torch.get_num_threads(), torch.get_default_dtype(); import mlxc; "
            "from mlxc import zoo; print(before == (torch.get_num_threads(), torch.get_default_dtype()), "
            "zoo._load_shipped.cache_info().currsize, [m for m in ('mlxc.bench', 'training') if m in sys.modules])")
    assert _python(code) == "True 0 []"


def test_shipped_models_are_registered():
    code = "import mlxc; from mlxc.host import seam; print(seam.names() == mlxc.models())"
    assert _python(code) == "True"


def test_public_names_exist():
    assert all(hasattr(mlxc, name) for name in mlxc.__all__)
    assert {"RKS", "UKS", "ROKS", "GKS", "attach", "load", "models", "dispersion_energy"} <= set(mlxc.__all__)
