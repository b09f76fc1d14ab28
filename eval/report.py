"""Tables and plots, derived from raw records alone."""

from pathlib import Path
from typing import Any

import numpy as np

Record = dict[str, Any]
COLUMNS = (
    "system",
    "bytes/vector",
    "recall@10",
    "recall@100",
    "batch queries/s",
    "single queries/s",
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
            f"{record['build_seconds']:.1f}",
            f"{record['build_peak_bytes'] / 1e6:,.0f}",
        )
        for record in records
    ]


def batch_rate(record: Record) -> float:
    """Return queries per second in a batch, the median over rounds."""
    return record["batch_queries"] / float(np.median(record["batch_seconds"]))


def single_rate(record: Record) -> float:
    """Return queries per second asked one at a time, the median over rounds of each round's median."""
    return 1 / float(np.median(record["single_seconds"]))


def markdown(records: list[Record]) -> str:
    """Return the table in Markdown."""
    lines = [COLUMNS, tuple("---" if i == 0 else "---:" for i in range(len(COLUMNS))), *rows(records)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def plot(records: list[Record], title: str, file: Path) -> None:
    """Draw recall@10 against speed and against bytes, one point a system, into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter

    figure, (speed, size) = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
    for axes, value, label in (
        (speed, batch_rate, "queries per second (batch, log scale) →"),
        (size, lambda record: record["bytes_per_vector"], "← bytes per vector (log scale)"),
    ):
        for record in records:
            ours = record["name"].startswith("ipaq")
            x, y = value(record), record["recall@10"]
            axes.scatter(x, y, s=70, marker="o" if ours else "s", color="#c1272d" if ours else "#4a6fa5", zorder=3)
            axes.annotate(
                record["name"],
                (x, y),
                xytext=(0, 8),
                textcoords="offset points",
                ha="center",
                fontsize=8.5,
                fontweight="bold" if ours else "normal",
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(x=0.22, y=0.14)
        axes.set_xlabel(label)
        axes.grid(True, which="both", alpha=0.25)
    speed.set_ylabel("recall@10")
    figure.suptitle(title)
    figure.savefig(file, dpi=130)
    plt.close(figure)
