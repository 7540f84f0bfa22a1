"""Trains a functional from a configuration: `python -m training.train CONFIG --data DIR --features DIR --out DIR`.

Beside the model, `NAME.jsonl` and `NAME.png` show the steps of the fit, and `NAME.checkpoint.npz` holds the last one
while it runs: started again after a kill, the command goes on from there. Several processes share the work under
`torchrun --nproc-per-node 2 -m training.train CONFIG …`. With `--device cuda` the fit, not the densities, is computed
on an NVIDIA GPU.
"""

import argparse
import sys
from pathlib import Path

import torch

from mlxc import zoo
from mlxc.errors import MlxcError
from training import configuration, data, ensemble, features, loss, parallel
from training.device import CPU, add_option, chosen
from training.member import make_densities, remove_checkpoints
from training.model_card import card


def main():
    """Command line: features that are missing, the fit, its table, the model file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, help="folder of the reference files, where the config's sources need it")
    parser.add_argument("--features", type=Path, default=Path("features"), help="folder of the stored densities")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder for model, log and checkpoint")
    parser.add_argument("--restart", action="store_true", help="begin anew where a checkpoint is found")
    add_option(parser)
    args = parser.parse_args()
    try:
        with parallel.processes():
            run(args.config, args.data, args.features, args.out, args.restart, chosen(args.device))
    except MlxcError as error:
        sys.exit(f"{parser.prog}: {error}")


def run(path: Path, references: Path | None, records: Path, out: Path, restart: bool = False,
        device: torch.device = CPU) -> None:
    """The command with its arguments."""
    config = configuration.read(path)
    dataset, settings = data.from_config(config, references), features.Settings.of(config)
    loss.scale(dataset.targets, config)  # which says what is wrong with it, before the densities are computed
    make_densities(config, dataset, records, settings)
    if restart:
        remove_checkpoints(out, config)
    functional, used, text = ensemble.fitted(config, dataset, records, settings, out, device=device)
    if parallel.rank() == 0:
        print(text)
        print("written:", zoo.save(out, functional, card(config, functional, dataset, used, settings)))
    remove_checkpoints(out, config)


if __name__ == "__main__":
    main()
