"""Command line: ``python -m eval.paper [--fast] [--out FOLDER] [--dataset NAME …]``."""

import argparse
import json
import sys
import time
from pathlib import Path

from eval.datasets.loading import FOLDER
from eval.paper import recall, report, variance
from eval.provenance import provenance

DATASETS = ("glove-50-unit", "glove-50", "synthetic-clustered-96", "synthetic-heavy-96", "synthetic-norms-384")


def main(argv: list[str] | None = None) -> int:
    """Run the experiments, write records, tables and pictures; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.paper",
        description="Level sets of White and Singal (arXiv:2606.00289) against others: variance, and recall at 4 bits.",
    )
    parser.add_argument("--fast", action="store_true", help="fewer sizes, vectors and data sets")
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder for results (default: results)")
    parser.add_argument("--data", type=Path, default=FOLDER, help=f"folder for data sets (default: {FOLDER})")
    parser.add_argument("--dataset", action="append", help="measure recall on this set instead; may be given again")
    arguments = parser.parse_args(argv)
    fast = arguments.fast
    out = arguments.out / ("paper-fast" if fast else "paper")
    out.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    costs = list(variance.run([1024] if fast else [128, 1024, 16_384], [4, 16] if fast else [4, 16, 64, 256], 3))
    print(f"{time.perf_counter() - begin:6.0f} s  variance: {len(costs):,} level sets", flush=True)
    found: list[recall.Record] = []
    try:
        for name in arguments.dataset or (DATASETS[:1] if fast else DATASETS):
            found += recall.run(name, *((2_000, 100) if fast else (10_000, 500)), arguments.data)
            write(out, costs, found)
            print(f"{time.perf_counter() - begin:6.0f} s  recall: {name}", flush=True)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"python -m eval.paper: {error}", file=sys.stderr)
        return 2
    print(f"records, tables and pictures: {out}/")
    return 0


def write(out: Path, costs: list[variance.Record], found: list[recall.Record]) -> None:
    """Write records, tables and pictures of what there is so far."""
    origin = provenance()
    with open(out / "records.jsonl", "w") as file:
        file.writelines(json.dumps(record | {"provenance": origin}) + "\n" for record in costs + found)
    (out / "table.md").write_text(report.document(costs, found))
    report.pictures(costs, found, out)


if __name__ == "__main__":
    sys.exit(main())
