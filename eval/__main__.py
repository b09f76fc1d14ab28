"""Command line: ``python -m eval CONFIG [--fast] [--out FOLDER] [--data FOLDER]``."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from eval import config, scan
from eval.datasets.loading import FOLDER
from eval.run import run


def main(argv: list[str] | None = None) -> int:
    """Run one experiment; return the exit code (2 where the configuration or data are at fault)."""
    parser = argparse.ArgumentParser(
        prog="python -m eval",
        description="Compare ipaq_index with its peers. A run that was ended goes on where it stopped.",
    )
    parser.add_argument("config", type=Path, help="an experiment, such as configs/quickstart.toml")
    parser.add_argument("--fast", action="store_true", help="the smaller run of the same experiment (its table [fast])")
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder for results (default: results)")
    parser.add_argument("--data", type=Path, default=FOLDER, help=f"folder for data sets (default: {FOLDER})")
    arguments = parser.parse_args(argv)
    # A console that is no terminal (CI, a pipe) has no width of its own: wide enough for the table.
    console = Console() if sys.stdout.isatty() else Console(width=140)
    folder = arguments.out / (arguments.config.stem + ("-fast" if arguments.fast else ""))
    try:
        if (speed := scan.load(arguments.config)) is not None:
            scan.run(speed, folder, arguments.out / "cache", Console(width=200), arguments.data)
            return 0
        experiment = config.load(arguments.config, arguments.fast)
        run(experiment, folder, arguments.out / "cache", console, arguments.data)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"python -m eval: {error}", file=sys.stderr)
        return 2
    console.print(f"records, tables, picture and page: {folder}/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
