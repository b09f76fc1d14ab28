"""What each part of the quantizer is worth: ``python -m eval.ablation configs/ablation.toml [--fast] [--set NAME]``.

This is the one file of eval that reaches below the public interface: most parts are no options, since nobody should
want them off, so that they are replaced here, for a measurement.
"""

import argparse
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from rich.console import Console
from rich.table import Table

from eval.datasets import Dataset, load
from eval.truth import brute_force, recall
from ipaq_index.quantizer import Quantizer, QuantizerSpec, codebook, quantizer, scale
from ipaq_index.quantizer.scale import scale_factors
from ipaq_index.quantizer.search import Lengths

K = 10
TRAIN_ROWS = 65_536

Patches = dict[tuple[Any, str], Any]


def _even_bits(errors: np.ndarray, budget: int) -> np.ndarray:
    """Give every dimension as many bits, those left over to the first."""
    share, rest = divmod(budget, len(errors))
    return (share + (np.arange(len(errors)) < rest)).astype(np.uint8)


def _own_scales(sums: np.ndarray, cosine: float | None = None) -> np.ndarray:
    """Return factors that leave no error along any vector."""
    return scale_factors(sums)


def _own_length(
    sets: Any, reference: float, floor: float, tries: int, scales: Any = None, cosine: Any = None
) -> Lengths:
    """Take each vector at the reference length and no other: the shortest multiple, 0.5, of twice that."""
    unbounded = np.full(len(sets.bits), np.inf, dtype=np.float32)
    return Lengths(-unbounded, unbounded, 2 * reference, 0.0, 1, 0.0, np.inf, 1.0)


# Each part: its name, how the specification changes, and what is replaced.
PARTS: dict[str, tuple[dict[str, Any], Patches]] = {
    "everything": ({}, {}),
    "trellis: 8 states": ({"states": 8}, {}),
    "no trellis": ({"encoding": "scalar"}, {}),
    "no trellis, not score-aware": ({"encoding": "scalar"}, {(codebook, "lengths"): _own_length}),
    "not query-aware (PCA)": ({"transform": "pca"}, {}),
    "random rotation": ({"transform": "random"}, {}),
    "no transform": ({"transform": "none"}, {}),
    "same bits for all": ({}, {(codebook, "allocate"): _even_bits}),
    "not score-aware (own length)": ({}, {(codebook, "lengths"): _own_length}),
    "scale: no error along each": ({}, {(scale, "scale_factors"): _own_scales}),
    "no refit": ({}, {(codebook, "ROUNDS"): 0}),
    "first state fixed": ({}, {(quantizer, "_most_start_bits"): lambda spec: 0}),
    "stochastic rounding (ADV)": ({"encoding": "scalar", "rounding": "stochastic", "objective": "adv"}, {}),
}


@contextmanager
def replaced(patches: Patches) -> Iterator[None]:
    """Put other things in the place of some names for a while."""
    with ExitStack() as stack:
        for (module, name), value in patches.items():
            stack.enter_context(mock.patch.object(module, name, value))
        yield


def measure(dataset: Dataset, truth: np.ndarray, bits: float, part: str, threads: int) -> tuple[float, float]:
    """Return recall@10 by exact scores of decoded vectors, and the relative squared error of the vectors."""
    change, patches = PARTS[part]
    x = np.asarray(dataset.train, dtype=np.float32)
    code_bits = 8 * int(np.ceil(bits * x.shape[1] / 8))
    with replaced(patches):
        fitted = Quantizer.fit(x[:TRAIN_ROWS], QuantizerSpec(x.shape[1], code_bits, **change), dataset.learn, threads)
        decoded = fitted.decode(fitted.encode(x, threads=threads))
    found = brute_force(decoded, dataset.queries, K, dataset.metric)
    error = np.square(decoded - x, dtype=np.float64).sum() / np.square(x - x.mean(0), dtype=np.float64).sum()
    return recall(found, truth, K), float(error)


def run(settings: dict[str, Any], console: Console, threads: int) -> list[Table]:
    """Measure everything that the settings ask for; return a table for each number of bits."""
    tables = []
    names = [entry["name"] for entry in settings["datasets"]]
    loaded = [load(e["name"], settings["queries"], e.get("vectors"), 0) for e in settings["datasets"]]
    truths = [brute_force(d.train, d.queries, K, d.metric) for d in loaded]
    for bits in settings["bits"]:
        grid = Table("part off", *(Path(name).stem for name in names), title=f"{bits} bits: recall@10 (squared error)")
        for part in PARTS:
            cells = []
            for dataset, truth in zip(loaded, truths, strict=True):
                found, error = measure(dataset, truth, bits, part, threads)
                cells.append(f"{found:.3f} ({error:.2g})")
            grid.add_row(part, *cells)
            console.print(f"{bits} bits  {part:30} {'  '.join(cells)}")
        tables.append(grid)
    return tables


def main(argv: list[str] | None = None) -> int:
    """Run the ablation that a file describes; 2 if the file is at fault."""
    parser = argparse.ArgumentParser(prog="python -m eval.ablation", description=__doc__)
    parser.add_argument("config", type=Path, help="configs/ablation.toml")
    parser.add_argument("--fast", action="store_true", help="the smaller run (table [fast])")
    parser.add_argument("--set", action="append", default=[], help="this data set instead (a name of eval.datasets)")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args(argv)
    console = Console() if sys.stdout.isatty() else Console(width=160)
    try:
        settings = tomllib.loads(arguments.config.read_text())
        quick = settings.pop("fast", {})
        settings |= quick if arguments.fast else {}
        if arguments.set:
            settings["datasets"] = [{"name": name} for name in arguments.set]
        for grid in run(settings, console, arguments.threads):
            console.print(grid)
    except (OSError, KeyError, ValueError) as error:
        print(f"python -m eval.ablation: {arguments.config}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
