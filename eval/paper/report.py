"""Tables and pictures of the paper's experiments, from their records."""

from pathlib import Path
from typing import Any

import numpy as np

from eval.paper.sets import SETS
from eval.paper.variance import DISTRIBUTIONS, WEIGHTS

Record = dict[str, Any]
COLOURS = dict(zip(SETS, ("#6b6b6b", "#e08e29", "#4a6fa5", "#c1272d", "#5b8c5a"), strict=True))
OTHERS = ("#23395b", "#8d6cab", "#c1272d")
DECADE = 10  # a smaller range is drawn on a linear axis, whose ticks can be read
SHOWN = (1024, 16)  # m, s of the table
COLUMNS = (("vector", "nearest"), ("vector", "stochastic"), ("dimension", "nearest"), ("dimension", "stochastic"))


def ratio(records: list[Record], cost: str, **setting: Any) -> dict[str, float]:
    """Return each level set's cost over that of the set that minimises it, the geometric mean over seeds."""
    best = {"adv": "ADV", "mdv": "MDV"}[cost]
    kept = [r for r in records if all(r[key] == value for key, value in setting.items())]
    least = {r["seed"]: r[cost] for r in kept if r["set"] == best}
    return {
        name: float(np.exp(np.mean([np.log(r[cost] / least[r["seed"]]) for r in kept if r["set"] == name])))
        for name in SETS
    }


def document(variance: list[Record], recall: list[Record]) -> str:
    """Return all tables in Markdown."""
    m, s = SHOWN
    parts = [
        "# The paper's experiments\n",
        f"## Average directional variance over that of ADV ({m:,} values, {s} levels)\n",
        _table(
            ("distribution", "weights", *SETS),
            [
                (d, w, *(f"{v:.3f}" for v in ratio(variance, "adv", distribution=d, weights=w, m=m, s=s).values()))
                for d in DISTRIBUTIONS
                for w in WEIGHTS
            ],
        ),
        f"## Maximum directional variance over that of MDV ({m:,} values, {s} levels)\n",
        _table(
            ("distribution", *SETS),
            [
                (d, *(f"{v:.2f}" for v in ratio(variance, "mdv", distribution=d, weights="equal", m=m, s=s).values()))
                for d in DISTRIBUTIONS
            ],
        ),
        _observed(variance),
        "## Recall@100 at 4 bits a coordinate\n",
    ]
    for name in dict.fromkeys(r["dataset"] for r in recall):
        group = [r for r in recall if r["dataset"] == name]
        (n, dim), asked = group[0]["shape"], group[0]["queries"]
        parts.append(f"### {name}: {n:,} x {dim}, {asked:,} queries\n")
        parts += [f"{_metric(metric)}:\n\n{_recalls(group, metric)}" for metric in ("ip", "l2")]
    return "\n".join(parts)


def _observed(variance: list[Record]) -> str:
    ratios = [r["observed"] / r["adv"] for r in variance if r.get("observed")]
    return (
        "Observed variance of `<x, ŵ>` over queries and roundings, divided by the ADV cost that the theory gives it: "
        f"mean {np.mean(ratios):.3f}, standard deviation {np.std(ratios):.3f} over {len(ratios)} cases.\n"
    )


def _metric(metric: str) -> str:
    return {"ip": "Inner product", "l2": "L2"}[metric]


def _recalls(group: list[Record], metric: str) -> str:
    found = {(r["set"], r["by"], r["rounding"]): r for r in group if r["metric"] == metric}
    lines = []
    for name in SETS:
        cells = [found.get((name, *column)) for column in COLUMNS]
        lines.append((name, *("= ASQ" if cell is None else f"{cell['recall@100']:.3f}" for cell in cells)))
    sizes = [next(r["bytes"] for r in found.values() if r["by"] == by) for by in ("vector", "dimension")]
    head = [f"{by} a {of}" for of, by in COLUMNS]
    note = f"Bytes a vector: {sizes[0]:g} with a level set a vector, {sizes[1]:g} with one a dimension. "
    note += "At as many bits: " + ", ".join(
        f"{r['set']} {r['recall@100']:.3f} ({r['bytes']:g} bytes)" for r in found.values() if r["by"] == "system"
    )
    return _table(("levels", *head), lines) + f"\n{note}.\n"


def _table(head: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    rule = tuple("---" if i == 0 else "---:" for i in range(len(head)))
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, rule, *lines))


def pictures(variance: list[Record], recall: list[Record], out: Path) -> None:
    """Draw ``adv.png``, ``mdv.png`` and ``recall.png`` into a folder."""
    import matplotlib

    matplotlib.use("Agg")
    _costs(variance, "adv", "exponential", "Average directional variance over that of ADV", out / "adv.png")
    _costs(variance, "mdv", "equal", "Maximum directional variance over that of MDV", out / "mdv.png")
    _recall_picture(recall, out / "recall.png")


def _costs(records: list[Record], cost: str, weights: str, title: str, file: Path) -> None:
    import matplotlib.pyplot as plt

    m = max(r["m"] for r in records)
    counts = sorted({r["s"] for r in records if r["m"] == m})
    figure, grid = plt.subplots(3, 3, figsize=(10, 8.4), layout="constrained", sharex=True)
    for axes, distribution in zip(grid.flat, DISTRIBUTIONS, strict=True):
        lines = [ratio(records, cost, distribution=distribution, weights=weights, m=m, s=s) for s in counts]
        for name in SETS:
            axes.plot(counts, [line[name] for line in lines], "o-", ms=4, color=COLOURS[name], label=name)
        axes.set_title(distribution, loc="left", fontsize=10)
        axes.set_xscale("log", base=2)
        axes.set_xticks(counts, [str(s) for s in counts])
        if max(max(line.values()) for line in lines) > DECADE:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(lambda v, _: f"{v:g}")
        axes.grid(True, which="both", alpha=0.2)
    figure.suptitle(f"{title}: {m:,} values, {weights} weights")
    for axes in grid[-1]:
        axes.set_xlabel("levels")
    figure.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(SETS))
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _recall_picture(records: list[Record], file: Path) -> None:
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(r["dataset"] for r in records))
    figure, grid = plt.subplots(
        len(names), 2, figsize=(11, 2.9 * len(names) + 0.8), layout="constrained", squeeze=False, sharey="row"
    )
    for name, line in zip(names, grid, strict=True):
        for axes, metric in zip(line, ("ip", "l2"), strict=True):
            found = [r for r in records if r["dataset"] == name and r["metric"] == metric]
            places = {column: place for place, column in enumerate(COLUMNS)}
            for number, kind in enumerate(SETS):
                mine = [r for r in found if r["set"] == kind]
                x = [places[r["by"], r["rounding"]] + 0.15 * (number - 2) for r in mine]
                axes.bar(x, [r["recall@100"] for r in mine], 0.14, color=COLOURS[kind], label=kind)
            systems = [r for r in found if r["by"] == "system"]
            for colour, style, record in zip(OTHERS, (":", "--", "-"), systems, strict=False):
                label = record["set"]
                axes.axhline(record["recall@100"], color=colour, linestyle=style, linewidth=1.3, label=label)
            axes.set_xticks(range(len(COLUMNS)), [f"{by},\na {of}" for of, by in COLUMNS], fontsize=8)
            axes.set_ylim(max(0, min(r["recall@100"] for r in found) - 0.05), 1)
            n, dim = found[0]["shape"]
            axes.set_title(f"{name}: {n:,} x {dim}, {_metric(metric)}", loc="left", fontsize=9.5)
            axes.grid(True, axis="y", alpha=0.25)
        line[0].set_ylabel("recall@100")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    labels = [label.replace("PQ25x8np", "PQ, 2 dimensions").replace("PQ50x4np", "PQ, 1 dimension") for label in labels]
    figure.suptitle("Recall@100 at 4 bits a coordinate")
    figure.legend(handles, labels, loc="outside lower center", ncols=8, fontsize=8.5)
    figure.savefig(file, dpi=110)
    plt.close(figure)
