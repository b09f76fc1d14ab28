"""Pictures of records as PNG files."""

from pathlib import Path
from typing import Any

from eval.report import Record, batch_rate, family, front, is_ours, recall, size

OURS = "#c1272d"
COLOURS = ("#4a6fa5", "#e08e29", "#5b8c5a", "#8d6cab", "#6b6b6b", "#b07d62", "#c9a227", "#3aa6a6", "#d16ba5", "#23395b")
MARKERS = "sD^vP*Xph<"
MOST_LABELS = 10  # points of one data set that are named beside their mark; more are told apart by colour


def styles(families: list[str]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each family, ours red and round."""
    others = sorted(set(families) - {"ipaq"})
    found = {f: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, f in enumerate(others)}
    return {"ipaq": (OURS, "o")} | found


def recall_speed(groups: dict[str, list[Record]], title: str, file: Path) -> None:
    """Draw recall@10 against batch speed and against bytes, one row of plots a data set, into a PNG.

    Lines join the points of a family that no other point of the same family beats.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    few = all(len(records) <= MOST_LABELS for records in groups.values())
    of = styles([family(r) for records in groups.values() for r in records])
    figure, grid = plt.subplots(
        len(groups), 2, figsize=(11, 4.6 if few else 4.2 * len(groups) + 0.8), layout="constrained", squeeze=False
    )
    for (name, records), (speed, bytes_) in zip(groups.items(), grid, strict=True):
        _draw(speed, records, batch_rate, of, few, falling=True)
        _draw(bytes_, records, size, of, few, falling=False)
        speed.set_ylabel("recall@10")
        bytes_.sharey(speed)
        speed.set_xlabel("queries per second, batch →")
        bytes_.set_xlabel("← bytes per vector")
        if len(groups) > 1:
            n, dim = records[0]["shape"]
            speed.set_title(f"{name}: {n:,} x {dim}", loc="left", fontsize=10, fontweight="bold")
    figure.suptitle(title)
    if not few:
        handles = [
            plt.Line2D([], [], color=colour, marker=marker, linestyle="", label=name)
            for name, (colour, marker) in of.items()
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)), fontsize=9)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _draw(
    axes: Any, records: list[Record], value: Any, of: dict[str, tuple[str, str]], few: bool, falling: bool
) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    families: dict[str, list[Record]] = {}
    for record in records:
        families.setdefault(family(record), []).append(record)
    for kind, members in families.items():
        colour, marker = of[kind]
        x, y = [value(r) for r in members], [recall(r) for r in members]
        axes.scatter(x, y, s=64 if few else 34, marker=marker, color=colour, zorder=4 if kind == "ipaq" else 3)
        best = front(members, (lambda r: -value(r)) if falling else value, recall)
        axes.plot([value(r) for r in best], [recall(r) for r in best], color=colour, alpha=0.45, linewidth=1.2)
    if few:
        _name(axes, records, value)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v / 1000:g}k" if v >= 1000 else f"{v:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.22 if few else 0.06, y=0.14 if few else 0.06)
    axes.grid(True, which="both", alpha=0.25)


def _name(axes: Any, records: list[Record], value: Any) -> None:
    """Write names beside marks, above or below so that neighbours in x do not cover each other."""
    order = sorted(records, key=lambda r: (value(r), recall(r)))
    for place, record in enumerate(order):
        axes.annotate(
            record["name"],
            (value(record), recall(record)),
            xytext=(0, 8 if place % 2 == 0 else -15),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
            fontweight="bold" if is_ours(record) else "normal",
        )
