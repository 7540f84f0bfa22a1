"""What a model's card says of its training."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from pyscf.data.elements import charge as nuclear_charge

from mlxc.xc.constraints import CLAIMS
from mlxc.xc.functional import Learned
from mlxc.xc.relaxed import broken
from training.data import Dataset, Target
from training.record import Settings


def card(config: Mapping, functional: Learned, dataset: Dataset, used: Sequence[Target],
         settings: Settings) -> dict:
    """The model card's fields, all but the weights.

    Args:
        config: the configuration.
        functional: the fitted one.
        dataset: of the targets' species.
        used: the targets that were fitted.
        settings: of the densities.
    """
    species = dataset.species  # those on a coarse grid are the same
    fitted = {key: species[key] for t in used for key, _ in t.terms if key in species}
    content = json.dumps([[asdict(s) for s in fitted.values()], [asdict(t) for t in used]], sort_keys=True)
    counts = ", ".join(f"{n} {group}" for group, n in Counter(t.group for t in used).items())
    whole = [s for s in fitted.values() if float(s.charge).is_integer()]
    model = {key: config["model"][key] for key in ("name", "version", "description", "kind")}
    exact = {key: getattr(functional, key) for key in ("omega", "sr_fraction", "lr_fraction")}
    tested = {"train_on_test": True} if config.get("data", {}).get("train_on_test") else {}
    return model | {
        "claims": [law for law in CLAIMS[model["kind"]] if law not in broken(config["network"].get("relaxed", ()))],
        "exchange": config["exchange"] | exact,
        "network": functional.network,
        "dispersion": config["dispersion"],
        "domain": {
            "elements": sorted({a[0] for s in whole for a in s.atoms}, key=nuclear_charge),
            "charges": sorted({round(s.charge) for s in whole if s.electrons > 1}),
            "spins": sorted({round(s.n_alpha - s.n_beta) for s in whole}),
        },
        "grid": {"level": settings.grid, "advice": f"level {settings.grid} or finer"},
        "training": tested | {
            "data_hash": hashlib.sha256(content.encode()).hexdigest(),
            "date": time.strftime("%Y-%m-%d"),
            "summary": f"{len(used)} targets ({counts}) of {len(fitted)} species; densities of {settings.xc}; "
                       f"{config['model']['data']}",
            "tolerance_kcal": config["tolerance"],
            "fit": config["fit"],
            "features": asdict(settings) | {"omegas": list(settings.omegas)},
        } | {name: config[name] for name in ("factor", "weight", "penalty") if name in config}
        | ({"variants": variants} if (variants := config.get("ensemble", {}).get("variants")) else {})
        | ({"leakage": dataset.leakage} if dataset.leakage else {}),
    }
