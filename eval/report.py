"""From raw records to tables, pictures and a page: everything here is derived, nothing is measured.

Again, from records that are there: ``python -m eval.report results/quickstart``.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

Record = dict[str, Any]
Axis = Callable[[Record], float]
CODES = 2  # bytes a dimension that codes take at the most; more is vectors or graphs
COLUMNS = (
    "system",
    "bytes/vector",
    "recall@10",
    "recall@100",
    "batch queries/s",
    "single queries/s",
    "spread",
    "build s",
    "build peak MB",
)


def rows(records: list[Record]) -> list[tuple[str, ...]]:
    """Return one line of the table for each record, in their order, the columns as in `COLUMNS`."""
    return [
        (
            record["name"],
            f"{record['bytes_per_vector']:g}",
            f"{record['recall@10']:.3f}",
            f"{record['recall@100']:.3f}",
            f"{batch_rate(record):,.0f}",
            f"{single_rate(record):,.0f}",
            f"±{100 * spread(record):.0f} %",
            f"{record['build_seconds']:.1f}",
            f"{record['build_peak_bytes'] / 1e6:,.0f}",
        )
        for record in records
    ]


def size(record: Record) -> float:
    """Return bytes a vector costs."""
    return record["bytes_per_vector"]


def batch_rate(record: Record) -> float:
    """Return queries per second in a batch, the median over rounds."""
    return record["batch_queries"] / float(np.median(record["batch_seconds"]))


def single_rate(record: Record) -> float:
    """Return queries per second asked one at a time, the median over rounds of each round's median."""
    return 1 / float(np.median(record["single_seconds"]))


def spread(record: Record) -> float:
    """Return how far batch times of rounds lie apart: half the range of their middle half over their median."""
    low, middle, high = np.percentile(record["batch_seconds"], [25, 50, 75])
    return float((high - low) / 2 / middle)


def front(records: list[Record], cost: Axis, gain: Axis) -> list[Record]:
    """Return the records that no other one beats: none has less or equal cost and more gain, or less and equal."""
    best, kept = -np.inf, []
    for record in sorted(records, key=lambda r: (cost(r), -gain(r))):
        if gain(record) > best:
            best = gain(record)
            kept.append(record)
    return kept


def recall(record: Record) -> float:
    """Return recall@10, what fronts are about."""
    return record["recall@10"]


def by_dataset(records: list[Record]) -> dict[str, list[Record]]:
    """Return measured records (skipped ones left out) of each data set, in their order."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        group = groups.setdefault(record["dataset"], [])
        if "skipped" not in record:
            group.append(record)
    return {name: group for name, group in groups.items() if group}


def standing(records: list[Record]) -> str:
    """Say, for one data set, where ours are on the fronts of recall against bytes and against speed, and where not.

    Speed is told twice: against all, and against those that keep codes rather than vectors or graphs. Three lines of a
    Markdown list; ours that are behind other ours only are left out.
    """
    small = [r for r in records if size(r) <= CODES * r["shape"][1]]
    fronts: list[tuple[str, list[Record], Axis, Callable[[Record], str]]] = [
        ("bytes", records, size, lambda r: f"{size(r):g} bytes"),
        ("batch speed", records, _slowness, lambda r: f"{batch_rate(r):,.0f}/s with {size(r):g} bytes"),
        (f"batch speed, at most {CODES} bytes a dimension", small, _slowness, lambda r: f"{batch_rate(r):,.0f}/s"),
    ]
    return "\n".join(_standing(*one) for one in fronts)


def _slowness(record: Record) -> float:
    return -batch_rate(record)


def _standing(label: str, records: list[Record], cost: Axis, shown: Callable[[Record], str]) -> str:
    best = front(records, cost, recall)
    ours = ", ".join(f"{r['name']} ({recall(r):.3f} at {shown(r)})" for r in best if is_ours(r)) or "none of ours"
    behind: dict[str, list[str]] = {}
    for record in records:
        rivals = [r for r in best if cost(r) <= cost(record) and recall(r) >= recall(record)]
        if is_ours(record) and record not in best and not any(is_ours(r) for r in rivals):
            rival = max(rivals, key=recall)
            behind.setdefault(f"{rival['name']} ({recall(rival):.3f} at {shown(rival)})", []).append(record["name"])
    off = "".join(f" Behind {rival}: {', '.join(names)}." for rival, names in behind.items())
    return f"- Front of recall@10 against {label}: {ours}.{off}"


def family(record: Record) -> str:
    """Return what curves and colours are grouped by."""
    return str(record.get("family", record["name"]))


def is_ours(record: Record) -> bool:
    """Return whether the record is of ipaq_index."""
    return record["name"].startswith("ipaq")


def title(records: list[Record]) -> str:
    """Return one line on what the records of one data set are about."""
    first = records[0]
    n, dim = first["shape"]
    threads = f"{first['search_threads']} thread{'s' if first['search_threads'] > 1 else ''}"
    return f"{first['dataset']} ({first['metric']}): {n:,} x {dim}, {threads}, {first['provenance']['cpu']}"


def markdown(records: list[Record]) -> str:
    """Return the table of one data set in Markdown."""
    lines = [COLUMNS, tuple("---" if i == 0 else "---:" for i in range(len(COLUMNS))), *rows(records)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def document(records: list[Record]) -> str:
    """Return all tables, with a heading, the standing and what was skipped for each data set."""
    parts = [f"# {records[0]['experiment']}\n"]
    for name, group in by_dataset(records).items():
        parts.append(f"## {title(group)}\n\n{markdown(group)}\n{standing(group)}\n")
        skipped = [r for r in records if r["dataset"] == name and "skipped" in r]
        parts += [f"Skipped: {r['system']} ({r['skipped']}).\n" for r in skipped]
    return "\n".join(parts)


def write(records: list[Record], out: Path) -> None:
    """Write ``table.md``, ``page.html`` and ``recall_speed.png`` into a folder."""
    from eval import page, pictures

    (out / "table.md").write_text(document(records))
    (out / "page.html").write_text(page.page(records))
    pictures.recall_speed(by_dataset(records), records[0]["experiment"], out / "recall_speed.png")


def show(records: list[Record], console: Console) -> None:
    """Print the tables."""
    for group in by_dataset(records).values():
        table = Table(title=title(group))
        for number, column in enumerate(COLUMNS):
            table.add_column(column, justify="left" if number == 0 else "right")
        for record, row in zip(group, rows(group), strict=True):
            table.add_row(*row, style="bold" if is_ours(record) else None)
        console.print(table)


def read(folder: Path) -> list[Record]:
    """Return the records of a folder that `eval.run.run` wrote.

    Raises
    ------
    ValueError
        If there are none.
    """
    file = folder / "records.jsonl"
    if not file.exists():
        raise ValueError(f"{folder}: expected records.jsonl in it; run `python -m eval CONFIG` first")
    return [json.loads(line) for line in file.read_text().splitlines()]


def main(argv: list[str] | None = None) -> int:
    """Derive tables, pictures and page of a folder again; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m eval.report", description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="a folder that `python -m eval` wrote, such as results/quickstart")
    folder = parser.parse_args(argv).results
    try:
        write(read(folder), folder)
    except ValueError as error:
        print(f"python -m eval.report: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
