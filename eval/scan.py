"""How fast the scan is: ``python -m eval configs/scan.toml``, or ``python -m eval.scan`` with more to choose from.

Ours and a reference take turns on one pinned thread of one process; the table shows medians, ratios, recall, look-ups
a second, and bytes of codes read a second beside what the machine's memory gives one core.
"""

import argparse
import json
import sys
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from eval import datasets, systems, truth
from eval.datasets.loading import FOLDER
from eval.measure import pinned
from eval.provenance import provenance

K = 10
CONFIG = Path(__file__).parent.parent / "configs" / "scan.toml"
BANDWIDTH_BYTES = 1 << 29  # beyond any cache


@dataclass(frozen=True)
class Setting:
    """One data set, a reference, and systems with the ratios to the reference that they shall reach.

    Attributes
    ----------
    dataset, otherwise : str
        Name of a data set, and of the one to take where the first cannot be found.
    reference, systems : str, list of str
        See `eval.systems.make`.
    batch, single : list of float
        Queries a second over the reference's that each system shall reach; 0 for none.
    vectors : int or None
        How many. Where the set has fewer and ``noise`` is not 0 they are repeated.
    noise : float
        Mean length of the noise added to each repeated vector, relative to the vectors'.
    """

    dataset: str
    reference: str
    systems: list[str]
    batch: list[float]
    single: list[float]
    otherwise: str = ""
    vectors: int | None = None
    noise: float = 0.0


@dataclass(frozen=True)
class Experiment:
    """What `configs/scan.toml` says."""

    title: str
    settings: list[Setting]
    queries: int
    single_queries: int
    rounds: int


@dataclass
class Timed:
    """One system and what was seen of it: seconds of each round's batch, median seconds of each round's queries."""

    system: systems.System
    recall: float
    bars: tuple[float, float]
    batch: list[float] = field(default_factory=list)
    single: list[float] = field(default_factory=list)


def load(path: Path) -> Experiment | None:
    """Read an experiment; None if the file is of another kind."""
    values = tomllib.loads(path.read_text())
    if values.pop("kind", None) != "scan":
        return None
    return Experiment(settings=[Setting(**table) for table in values.pop("settings")], **values)


def run(experiment: Experiment, out: Path, cache: Path, console: Console, data: Path = FOLDER) -> list[dict[str, Any]]:
    """Measure all settings, print a table, write ``records.jsonl`` into ``out``.

    Returns
    -------
    list of dict
        One record a system: raw seconds of every round, and where they come from.
    """
    records: list[dict[str, Any]] = []
    with pinned(1):
        bandwidth = memory_bandwidth()
    console.print(f"memory: one core reads {bandwidth / 1e9:.1f} GB/s")
    for setting in experiment.settings:
        dataset = _dataset(setting, experiment.queries, data, console)
        records += _measure(setting, experiment, dataset, cache, console)
    origin = provenance()
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "records.jsonl", "w") as file:
        for record in records:
            file.write(json.dumps(record | {"memory_bytes_per_second": bandwidth, "provenance": origin}) + "\n")
    console.print(table(experiment.title, records, bandwidth))
    return records


def memory_bandwidth() -> float:
    """Return the bytes a second that this core reads from memory: the best of a few sums over a large array."""
    values = np.ones(BANDWIDTH_BYTES // 8)
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        values.max()
        seconds.append(time.perf_counter() - begin)
    return values.nbytes / min(seconds)


def _dataset(setting: Setting, queries: int, folder: Path, console: Console) -> datasets.Dataset:
    try:
        found = datasets.load(setting.dataset, queries, setting.vectors, 0, folder)
    except (OSError, ValueError) as error:
        if not setting.otherwise:
            raise
        console.print(f"{setting.otherwise} in place of {setting.dataset}: {error}")
        return datasets.load(setting.otherwise, queries, setting.vectors, 0, folder)
    if not setting.noise or setting.vectors is None:
        return found
    rng = np.random.default_rng(0)
    x = np.asarray(found.train)
    many = np.resize(x, (setting.vectors, x.shape[1]))
    length = float(np.linalg.norm(x, axis=1).mean())
    many += np.float32(setting.noise * length / np.sqrt(x.shape[1])) * rng.standard_normal(many.shape, np.float32)
    return datasets.Dataset(f"{Path(setting.dataset).stem}+noise", found.metric, many, found.queries, found.learn)


def _measure(
    setting: Setting, experiment: Experiment, dataset: datasets.Dataset, cache: Path, console: Console
) -> list[dict[str, Any]]:
    neighbours = truth.exact(dataset, K, cache)
    timed = []
    bars_of = zip(setting.batch, setting.single, strict=True)
    names = [(setting.reference, (0.0, 0.0)), *zip(setting.systems, bars_of, strict=True)]
    for text, bars in names:
        system = systems.make(text, 0, dataset.train.shape)
        console.print(f"{dataset.name}: building {system.name}")
        system.build(dataset, 2)
        timed.append(Timed(system, truth.recall(system.search(dataset.queries, K, 1), neighbours, K), bars))
    with pinned(1):
        for _ in range(experiment.rounds):
            for one in timed:
                _time_once(one, dataset.queries, experiment.single_queries)
    reference = timed[0]
    return [_record(one, reference, dataset) for one in timed]


def _time_once(one: Timed, queries: np.ndarray, singles: int) -> None:
    one.system.search(queries[:1], K, 1)
    begin = time.perf_counter()
    one.system.search(queries, K, 1)
    one.batch.append(time.perf_counter() - begin)
    seconds = []
    for row in range(min(singles, len(queries))):
        begin = time.perf_counter()
        one.system.search(queries[row : row + 1], K, 1)
        seconds.append(time.perf_counter() - begin)
    one.single.append(float(np.mean(seconds)))


def _record(one: Timed, reference: Timed, dataset: datasets.Dataset) -> dict[str, Any]:
    return {
        "dataset": dataset.name,
        "shape": list(dataset.train.shape),
        "name": one.system.name,
        "recall@10": one.recall,
        "bytes_per_vector": one.system.bytes_per_vector(),
        "queries": len(dataset.queries),
        "batch_seconds": one.batch,
        "single_seconds": one.single,
        "bars": one.bars,
        "batch_ratio": _ratio(reference.batch, one.batch),
        "single_ratio": _ratio(reference.single, one.single),
    }


def _ratio(reference: list[float], own: list[float]) -> float:
    """Return the median over rounds of how much faster: a round's drift of the clock meets both."""
    return float(np.median(np.array(reference) / np.array(own)))


def table(title: str, records: list[dict[str, Any]], bandwidth: float) -> Table:
    """Return the table that people read; bytes and look-ups a second as if all codes were read for every query."""
    result = Table(title=title)
    for column in ("data", "system", "recall@10", "bytes"):
        result.add_column(column, justify="left" if column in ("data", "system") else "right")
    for kind in ("batch", "single"):
        for column in (f"{kind} q/s", "ratio (bar)", "G dims/s", "GB/s"):
            result.add_column(column, justify="right")
    for record in records:
        n, dim = record["shape"]
        cells = [
            f"{record['dataset']} {n:,} x {dim}",
            record["name"],
            f"{record['recall@10']:.3f}",
            f"{record['bytes_per_vector']:.4g}",
        ]
        for kind, queries, bar in (("batch", record["queries"], 0), ("single", 1, 1)):
            rate = queries / float(np.median(record[f"{kind}_seconds"]))
            wanted = f" ({record['bars'][bar]:.1f})" if record["bars"][bar] else ""
            read = rate * n * record["bytes_per_vector"] / 1e9
            cells += [
                f"{rate:,.0f}",
                f"{record[f'{kind}_ratio']:.2f}{wanted}",
                f"{rate * n * dim / 1e9:.1f}",
                f"{read:.1f} = {read * 1e9 / bandwidth:.0%}",
            ]
        result.add_row(*cells)
    return result


def main(argv: list[str] | None = None) -> int:
    """Run settings of an experiment; return the exit code, 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m eval.scan", description="Measure the scan beside its reference.")
    parser.add_argument("--config", type=Path, default=CONFIG, help="default: configs/scan.toml")
    parser.add_argument("--only", default="", help="settings whose data set's name contains this")
    parser.add_argument("--rounds", type=int, help="timed rounds")
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder for results (default: results)")
    parser.add_argument("--data", type=Path, default=FOLDER, help=f"folder for data sets (default: {FOLDER})")
    arguments = parser.parse_args(argv)
    experiment = load(arguments.config)
    if experiment is None:
        parser.error(f'{arguments.config}: expected kind = "scan"')
    chosen = [setting for setting in experiment.settings if arguments.only in setting.dataset]
    rounds = arguments.rounds or experiment.rounds
    some = Experiment(experiment.title, chosen, experiment.queries, experiment.single_queries, rounds)
    records = run(some, arguments.out / "scan", arguments.out / "cache", Console(width=200), arguments.data)
    return int(
        any(
            record[f"{kind}_ratio"] < bar
            for record in records
            for kind, bar in zip(("batch", "single"), record["bars"], strict=True)
        )
    )


if __name__ == "__main__":
    sys.exit(main())
