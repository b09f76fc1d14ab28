"""One HTML page that holds everything: plots that answer to the mouse, tables, provenance; no other file needed."""

import html
import json
import math
from typing import Any

from eval.pictures import styles
from eval.report import (
    COLUMNS,
    Record,
    batch_rate,
    by_dataset,
    family,
    front,
    is_ours,
    recall,
    rows,
    single_rate,
    size,
    standing,
    title,
)

SYMBOLS = {
    "o": "circle", "s": "square", "D": "diamond", "^": "triangle-up", "v": "triangle-down", "P": "cross",
    "*": "star", "X": "x", "p": "pentagon", "h": "hexagon", "<": "triangle-left",
}  # fmt: skip
FEW_DECADES = 2.5
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 0 auto; max-width: 1240px; padding: 0 20px 60px; }
h1 { font-size: 1.6em; margin: 28px 0 4px; } h2 { margin: 40px 0 6px; font-size: 1.2em; }
nav a { margin-right: 14px; } a { color: #4a6fa5; } p.note { color: #555; margin: 4px 0 12px; }
.plots { display: grid; grid-template-columns: 1fr 1fr; gap: 8px; } .plots > div { height: 400px; min-width: 0; }
table { border-collapse: collapse; font-size: 13px; width: 100%; margin: 8px 0; }
th, td { padding: 3px 8px; text-align: right; border-bottom: 1px solid #e4e4e4; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th { cursor: pointer; background: #f6f6f6; position: sticky; top: 0; }
tr.ours td { font-weight: 600; color: #9c1c22; } details { margin: 8px 0; } pre { font-size: 12px; overflow: auto; }
@media (max-width: 800px) { .plots { grid-template-columns: 1fr; } }
"""
SORT = """
for (const head of document.querySelectorAll("th")) head.onclick = () => {
  const body = head.closest("table").tBodies[0], column = [...head.parentNode.children].indexOf(head);
  const value = row => { const t = row.children[column].textContent.replace(/[,±%]/g, ""); return isNaN(t) ? t : +t; };
  const up = head.dataset.up = head.dataset.up === "1" ? "" : "1";
  [...body.rows].sort((a, b) => (value(a) > value(b) ? 1 : -1) * (up ? 1 : -1)).forEach(row => body.append(row));
};
"""


def page(records: list[Record]) -> str:
    """Return the page for the records of one experiment."""
    from plotly.offline import get_plotlyjs

    groups = by_dataset(records)
    of = styles([family(r) for group in groups.values() for r in group])
    heading = html.escape(records[0]["experiment"])
    links = "".join(f'<a href="#{html.escape(name)}">{html.escape(name)}</a>' for name in groups)
    sections, draw = [], []
    for number, (name, group) in enumerate(groups.items()):
        section, figures = _section(number, name, group, of, records)
        sections.append(section)
        draw += figures
    origin = html.escape(json.dumps(records[0]["provenance"], indent=2))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{heading}</title><style>{STYLE}</style></head><body>
<h1>{heading}</h1>
<p class="note">Medians of alternating rounds. Recall is against exact search; queries are not among the vectors. Bytes
count codes, scale, norm and links; ids apart. Lines join the points of a family that no other of it beats. Click a name
in a legend to hide it, a head of a table to sort by it; draw a box in a plot to look closer.</p>
<nav>{links}</nav>
{"".join(sections)}
<h2>Where this comes from</h2><pre>{origin}</pre>
<script>{get_plotlyjs()}</script>
<script>{SORT}
const options = {{responsive: true, displaylogo: false}};
{"".join(f"Plotly.newPlot('{where}', {data}, {layout}, options);" for where, data, layout in draw)}
</script></body></html>
"""


def _section(
    number: int, name: str, group: list[Record], of: dict[str, tuple[str, str]], records: list[Record]
) -> tuple[str, list[tuple[str, str, str]]]:
    """Return one data set's HTML and its figures as (element, data, layout) in JSON."""
    axes: list[tuple[str, str, str, Any, bool]] = [
        ("speed", "Recall and speed, in a batch", "queries per second →", batch_rate, True),
        ("bytes", "Recall and size", "← bytes per vector", size, False),
        ("single", "Recall and speed, one query at a time", "queries per second →", single_rate, True),
        ("build", "Recall and time to build", "← seconds", lambda r: max(r["build_seconds"], 1e-3), False),
    ]
    figures: list[tuple[str, Any, Any]] = [
        (kind, _curves(group, of, value, falling), _layout(heading, label, "recall@10", [value(r) for r in group]))
        for kind, heading, label, value, falling in axes
    ]
    if any("calibration" in record for record in group):
        heading = "Error bars: how many scores they hold"
        figures.append(("bars", _bars(group), _layout(heading, "share promised", "share held")))
    head = "".join(f"<th>{html.escape(column)}</th>" for column in COLUMNS)
    body = "".join(
        f'<tr class="{"ours" if is_ours(record) else "peer"}">'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        + "</tr>"
        for record, row in zip(group, rows(group), strict=True)
    )
    left_out = "".join(
        f'<p class="note">Skipped: {html.escape(r["system"])} ({html.escape(r["skipped"])}).</p>'
        for r in records
        if r["dataset"] == name and "skipped" in r
    )
    places = "".join(f'<div id="{kind}{number}"></div>' for kind, _, _ in figures)
    section = f"""<h2 id="{html.escape(name)}">{html.escape(title(group))}</h2>
<p class="note">{"<br>".join(map(html.escape, standing(group).splitlines()))}</p><div class="plots">{places}</div>
<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{left_out}
"""
    return section, [(f"{kind}{number}", json.dumps(data), json.dumps(layout)) for kind, data, layout in figures]


def _curves(group: list[Record], of: dict[str, tuple[str, str]], value: Any, falling: bool) -> list[dict[str, Any]]:
    """Return one trace a family: all its points, and a line through those no other of the family beats."""
    families: dict[str, list[Record]] = {}
    for record in group:
        families.setdefault(family(record), []).append(record)
    traces: list[dict[str, Any]] = []
    for kind, members in sorted(families.items(), key=lambda item: item[0] != "ipaq"):
        colour, marker = of[kind]
        best = front(members, (lambda r: -value(r)) if falling else value, recall)
        traces += [
            {
                "x": [value(r) for r in best], "y": [recall(r) for r in best], "mode": "lines", "hoverinfo": "skip",
                "line": {"color": colour, "width": 2 if kind == "ipaq" else 1}, "legendgroup": kind,
                "showlegend": False,
            },
            {
                "x": [value(r) for r in members], "y": [recall(r) for r in members], "mode": "markers", "name": kind,
                "legendgroup": kind, "text": [_hover(r) for r in members], "hovertemplate": "%{text}<extra></extra>",
                "marker": {"color": colour, "symbol": SYMBOLS[marker], "size": 11 if kind == "ipaq" else 8},
            },
        ]  # fmt: skip
    return traces


def _hover(record: Record) -> str:
    return (
        f"<b>{html.escape(record['name'])}</b><br>recall@10 {recall(record):.4f}, @100 {record['recall@100']:.4f}"
        f"<br>{size(record):g} bytes, {batch_rate(record):,.0f}/s batch, {single_rate(record):,.0f}/s single"
        f"<br>build {record['build_seconds']:.1f} s"
    )


def _bars(group: list[Record]) -> list[dict[str, Any]]:
    """Return what error bars promise against what they keep; on the diagonal they are right."""
    told = [record for record in group if "calibration" in record]
    line = {"x": [0.4, 1], "y": [0.4, 1], "mode": "lines", "line": {"color": "#aaa", "dash": "dot"}, "name": "right"}
    shades = ("#c1272d", "#e08e29", "#4a6fa5", "#5b8c5a", "#8d6cab", "#6b6b6b")
    traces: list[dict[str, Any]] = [line]
    for number, record in enumerate(told):
        for kind, label, dash in (("random", "any row", "solid"), ("top", "best 10", "dash")):
            traces.append(
                {
                    "x": record["calibration"]["nominal"], "y": record["calibration"][kind]["within"],
                    "mode": "lines+markers", "name": f"{record['name']}, {label}",
                    "line": {"color": shades[number % len(shades)], "dash": dash},
                }
            )  # fmt: skip
    return traces


def _layout(heading: str, x: str, y: str, values: list[float] | None = None) -> dict[str, Any]:
    """Return a figure's layout; the x axis is logarithmic where its values are given."""
    axis: dict[str, Any] = {"title": {"text": x}, "gridcolor": "#eee"}
    if values:
        # 1, 2 and 5 of each decade carry numbers where there is room for them.
        decades = math.log10(max(values) / min(values))
        axis |= {"type": "log", "dtick": "D2" if decades < FEW_DECADES else 1, "exponentformat": "SI"}
    return {
        "title": {"text": heading, "font": {"size": 14}, "x": 0.01, "xanchor": "left"},
        "xaxis": axis,
        "yaxis": {"title": {"text": y}, "gridcolor": "#eee"},
        "margin": {"l": 60, "r": 10, "t": 40, "b": 50},
        "legend": {"font": {"size": 11}, "tracegroupgap": 0},
        "plot_bgcolor": "#fff",
        "hovermode": "closest",
    }
