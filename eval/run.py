"""One experiment from beginning to end."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from eval import datasets, measure, report, systems, truth
from eval.config import DataChoice, Experiment, SystemChoice
from eval.datasets.loading import FOLDER
from eval.provenance import of_same_origin, provenance
from eval.systems.ipaq import Ipaq

PART = "records.part.jsonl"  # what an unfinished run has measured; the next run goes on from it


def run(experiment: Experiment, out: Path, cache: Path, console: Console, data: Path = FOLDER) -> list[report.Record]:
    """Measure every system of the experiment on every data set and write records, table, pictures and page.

    A run that is ended before it is done leaves what it measured in ``records.part.jsonl``; the same run, from the same
    commit, goes on from there.

    Parameters
    ----------
    experiment : Experiment
        What to measure.
    out : Path
        Folder for ``records.jsonl`` and all that `report.write` makes of it; made if missing, older files replaced.
    cache : Path
        Folder for ground truth.
    console : rich.console.Console
        Where progress and the table are shown.
    data : Path
        Folder for data sets.

    Returns
    -------
    list of dict
        One record a system and point of its search parameters, data set by data set.
    """
    for wanted in experiment.systems:
        systems.make(wanted.system, experiment.seed)  # a mistake is told before hours are spent
    out.mkdir(parents=True, exist_ok=True)
    origin = provenance()
    before = of_same_origin(out / PART, origin)
    begin = time.perf_counter()
    with _progress(console) as bar, open(out / PART, "w") as part:
        heats = -(-len(experiment.systems) // experiment.together)
        task = bar.add_task("", total=len(experiment.datasets) * heats * (2 + experiment.rounds))

        def step(text: str) -> None:
            bar.update(task, description=text)
            if not console.is_terminal:  # a bar in a log says nothing until the end
                console.print(f"{time.perf_counter() - begin:6.0f} s  {text}")

        def advance(fraction: float) -> None:
            bar.advance(task, fraction)

        records: list[report.Record] = []
        for choice in experiment.datasets:
            for record in _on_dataset(experiment, choice, before, cache, data, (step, advance), console):
                records.append({**record, "provenance": record.get("provenance", origin)})
                part.write(json.dumps(records[-1]) + "\n")
                part.flush()
    os.replace(out / PART, out / "records.jsonl")
    report.write(records, out)
    report.show(records, console)
    console.print(f"{time.perf_counter() - begin:.0f} s")
    return records


Steps = tuple[Callable[[str], None], Callable[[float], None]]


def _on_dataset(
    experiment: Experiment,
    data_choice: DataChoice,
    before: list[report.Record],
    cache: Path,
    folder: Path,
    steps: Steps,
    console: Console,
) -> Iterator[report.Record]:
    """Yield the records of one data set, heat by heat: those of an earlier try, or measured now."""
    step, advance = steps
    vectors = data_choice.vectors or experiment.vectors
    setting = {
        "experiment": experiment.title,
        "dataset": data_choice.name,
        "asked": [experiment.queries, vectors, experiment.rounds, experiment.seconds, experiment.single_queries],
        "search_threads": experiment.threads,
        "seed": experiment.seed,
    }
    dataset: datasets.Dataset | None = None
    chosen = [choice for choice in experiment.systems if not choice.only or data_choice.name in choice.only]
    for first in range(0, len(chosen), experiment.together):
        heat = chosen[first : first + experiment.together]
        found = [r for r in before if _belongs(r, setting, heat)]
        if {r["system"] for r in found} == {choice.system for choice in heat}:
            advance(2 + experiment.rounds)
            yield from found
            continue
        if dataset is None:
            step(f"loading {data_choice.name}")

            def downloaded(done: int, total: int | None) -> None:
                of = f" of {total / 1e6:,.0f}" if total else ""
                step(f"downloading {data_choice.name}: {done / 1e6:,.0f}{of} MB")

            dataset = datasets.load(
                data_choice.name, experiment.queries, vectors, experiment.seed, folder, progress=downloaded
            )
            step(f"exact ground truth of {data_choice.name}")
            neighbours = truth.exact(dataset, max(measure.KS), cache)
        for record in _heat(experiment, heat, dataset, neighbours, steps, console):
            yield record | setting


def _heat(
    experiment: Experiment,
    heat: list[SystemChoice],
    dataset: datasets.Dataset,
    neighbours: Any,
    steps: Steps,
    console: Console,
) -> Iterator[report.Record]:
    """Build some systems, measure their recall, and time them in turns."""
    step, advance = steps
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shared = {
        "shape": list(dataset.train.shape),
        "metric": dataset.metric,
        "k": measure.K,
        "build_threads": cores,
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    measured: list[measure.Measurement] = []
    skipped: list[report.Record] = []
    for choice in heat:

        def fresh(text: str = choice.system) -> systems.System:
            return systems.make(text, experiment.seed, dataset.train.shape)

        system = fresh()
        step(f"{dataset.name}: building {system.name}")
        try:
            built = measure.build(system, fresh, dataset, cores)
        except (systems.SkippedError, RuntimeError) as error:
            if isinstance(system, Ipaq):
                raise  # a peer that fails is told and left out; ours must not fail
            console.print(f"skipped {choice.system} on {dataset.name}: {error}")
            skipped.append({"name": system.name, "system": choice.system, "skipped": str(error)} | shared)
            advance(1 / len(heat))
            continue
        advance(1 / len(heat))
        points = [measure.Measurement(built, choice.system, point) for point in choice.points()]
        for one in points:
            step(f"{dataset.name}: recall of {one.name}")
            measure.measure_recall(one, dataset, neighbours, cores)
            advance(1 / len(heat) / len(points))
        measured += points
    step(f"{dataset.name}: timing, in turns")
    if measured:
        measure.time_rounds(measured, dataset, experiment, lambda _: advance(1 / len(measured)))
    yield from (one.record() | shared for one in measured)
    yield from skipped


def _belongs(record: report.Record, setting: dict[str, Any], heat: list[SystemChoice]) -> bool:
    return all(record.get(key) == value for key, value in setting.items()) and any(
        record["system"] == choice.system and ("skipped" in record or record["search"] in choice.points())
        for choice in heat
    )


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:48.48}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)
