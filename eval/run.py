"""One experiment from beginning to end."""

import json
import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from eval import datasets, measure, report, systems, truth
from eval.config import Experiment
from eval.provenance import provenance


def run(experiment: Experiment, out: Path, cache: Path, console: Console) -> list[report.Record]:
    """Measure every system of the experiment and write records, table and plot.

    Parameters
    ----------
    experiment : Experiment
        What to measure.
    out : Path
        Folder for ``records.jsonl``, ``table.md`` and ``recall_speed.png``; made if missing, older files replaced.
    cache : Path
        Folder for ground truth.
    console : rich.console.Console
        Where progress and the table are shown.

    Returns
    -------
    list of dict
        One record a system.
    """
    chosen = [systems.make(text, experiment.seed) for text in experiment.systems]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with _progress(console) as bar:
        task = bar.add_task("data", total=2 + (2 + experiment.rounds) * len(chosen))

        def step(text: str) -> None:
            bar.update(task, description=text)

        def done(_: str = "") -> None:
            bar.advance(task)

        step(f"loading {experiment.dataset}")
        dataset = datasets.load(experiment.dataset, experiment.queries, experiment.vectors, experiment.seed)
        done()
        step("exact ground truth")
        neighbours = truth.exact(dataset, max(measure.KS), cache)
        done()
        measured = []
        for system in chosen:
            step(f"building {system.name}")
            measured.append(measure.build(system, dataset, cores))
            done()
        for one in measured:
            step(f"recall of {one.system.name}")
            measure.measure_recall(one, dataset, neighbours, cores)
            done()
        step("timing, in turns")
        measure.time_rounds(measured, dataset, experiment, done)
    shared = {
        "experiment": experiment.title,
        "dataset": experiment.dataset,
        "shape": list(dataset.train.shape),
        "metric": dataset.metric,
        "k": measure.K,
        "search_threads": experiment.threads,
        "build_threads": cores,
        "seed": experiment.seed,
        "provenance": provenance(),
    }
    records = [one.record() | shared for one in measured]
    _write(records, _title(experiment, shared), out)
    console.print(_table(records, _title(experiment, shared)))
    return records


def _title(experiment: Experiment, shared: dict[str, Any]) -> str:
    n, dim = shared["shape"]
    threads = f"{experiment.threads} thread{'s' if experiment.threads > 1 else ''}"
    return f"{experiment.title}: {n:,} x {dim}, {threads}, {shared['provenance']['cpu']}"


def _write(records: list[report.Record], title: str, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (out / "table.md").write_text(report.markdown(records))
    report.plot(records, title, out / "recall_speed.png")


def _table(records: list[report.Record], title: str) -> Table:
    table = Table(title=title)
    for number, column in enumerate(report.COLUMNS):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in report.rows(records):
        table.add_row(*row, style="bold" if row[0].startswith("ipaq") else None)
    return table


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:34}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)
