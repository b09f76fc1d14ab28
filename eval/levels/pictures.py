"""Pictures of records as PNG files: time and error against size, and against the number of levels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from eval.levels.bars import times_sort
from eval.levels.cases import SOLVERS, Record
from eval.pictures import COLOURS, MARKERS

COLUMNS = 4


def write(records: list[Record], folder: Path) -> list[Path]:
    """Draw all pictures; return their files."""
    solved = [r for r in records if "values" in r]
    sizes, counts = sorted({r["m"] for r in solved}), sorted({r["s"] for r in solved})
    s = 16 if 16 in counts else counts[0]
    kinds = dict.fromkeys(r["values"] for r in solved)
    m = max(size for size in sizes if all(any(r["m"] == size and r["values"] == k for r in solved) for k in kinds))
    by_size = [r for r in solved if r["s"] == s]
    by_count = [r for r in solved if r["m"] == m]
    of_m, of_s = f"2^{m.bit_length() - 1} values", f"{s} levels"
    return [
        _draw(by_size, "m", times_sort, f"time, in sorts of the same values: {of_s}", folder / "time-size.png"),
        _draw(by_count, "s", times_sort, f"time, in sorts of the same values: {of_m}", folder / "time-levels.png"),
        _draw(by_size, "m", _vnmse, f"vNMSE: {of_s}", folder / "vnmse-size.png"),
        _draw(by_count, "s", _vnmse, f"vNMSE: {of_m}", folder / "vnmse-levels.png"),
    ]


def _vnmse(record: Record) -> float:
    return record["vnmse"]


def _draw(records: list[Record], axis: str, value: Callable[[Record], float], title: str, file: Path) -> Path:
    """Draw one plot a kind of values, one line a solver."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    kinds = list(dict.fromkeys(r["values"] for r in records))
    rows = -(-len(kinds) // COLUMNS)
    figure, grid = plt.subplots(
        rows, min(COLUMNS, len(kinds)), figsize=(14, 3.4 * rows + 0.9), layout="constrained", squeeze=False, sharex=True
    )
    names = [solver.name for solver in SOLVERS]
    for axes, kind in zip(grid.ravel(), kinds, strict=False):
        for colour, marker, name in zip(COLOURS, MARKERS, names, strict=False):
            line = sorted((r for r in records if r["values"] == kind and r["solver"] == name), key=lambda r: r[axis])
            points = [(r[axis], value(r)) for r in line if value(r) > 0]
            if points:
                x, y = np.array(points).T
                axes.plot(x, y, color=colour, marker=marker, markersize=4, linewidth=1.2, alpha=0.8)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_title(kind, loc="left", fontsize=10, fontweight="bold")
        axes.grid(True, which="major", alpha=0.3)
        axes.set_xlabel("values" if axis == "m" else "levels")
    for axes in grid.ravel()[len(kinds) :]:
        axes.set_visible(False)
    handles = [
        plt.Line2D([], [], color=colour, marker=marker, label=name)
        for colour, marker, name in zip(COLOURS, MARKERS, names, strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=9)
    figure.suptitle(title)
    figure.savefig(file, dpi=110)
    plt.close(figure)
    return file
