"""Do error bars keep their word, set by set? ``python -m eval.error_bars [--bits 4 2] [--rounding stochastic]``.

Held-out queries against rows chosen blindly, and against the best ten found; see `eval.calibration`.
"""

import argparse
import sys

from rich.console import Console
from rich.table import Table

from eval.calibration import NOMINAL, observe
from eval.datasets import load
from eval.systems.ipaq import Ipaq

SETS = (
    "glove-50-unit",
    "glove-50",
    "synthetic-gaussian-96",
    "synthetic-clustered-96",
    "synthetic-heavy-96",
    "synthetic-sparse-96",
    "synthetic-norms-96",
    "synthetic-clustered_l2-96",
)
VECTORS = 10_000
ONE, TWO = NOMINAL.index(0.6827), NOMINAL.index(0.95)


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m eval.error_bars", description=__doc__)
    parser.add_argument("--bits", type=float, nargs="+", default=[4, 2])
    parser.add_argument("--rounding", default="nearest", choices=("nearest", "stochastic"))
    parser.add_argument("--vectors", type=int, default=VECTORS)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args(argv)
    console = Console() if sys.stdout.isatty() else Console(width=140)
    columns = ("rows: within 1 std", "within 1.96", "std of error/bar", "best 10: within 1 std", "within 1.96")
    grid = Table("data", "bits", *columns, title="Error bars (a normal error: 0.683 and 0.950)")
    for name in SETS:
        dataset = load(name, 50, arguments.vectors, 0)
        for bits in arguments.bits:
            system = Ipaq({"bits": bits, "rounding": arguments.rounding}, 0)
            system.build(dataset, arguments.threads)
            found = observe(system, dataset)
            blind, top = found["random"], found["top"]
            values = (blind["within"][ONE], blind["within"][TWO], blind["std"], top["within"][ONE], top["within"][TWO])
            grid.add_row(name, f"{bits:g}", *(f"{value:.3f}" for value in values))
            console.print(name, bits, *(f"{value:.3f}" for value in values))
    console.print(grid)
    return 0


if __name__ == "__main__":
    sys.exit(main())
