"""Command line: ``python -m eval.levels [--fast | --bars] [--seconds S] [--out FOLDER] [--page FILE]``."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from eval.levels import bars, pictures
from eval.levels.cases import Plan, Record, measure, measure_many
from eval.measure import pinned
from eval.provenance import of_same_origin, provenance
from eval.readme import insert

PART = "records.part.jsonl"  # what an unfinished run has measured; the same run, from the same commit, goes on from it


def main(argv: list[str] | None = None) -> int:
    """Measure, and write records, tables and pictures; return the exit code (2 where data are missing)."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.levels",
        description="Time and error of level set solvers, in units of sorting the same values on the same core. "
        "A run that was ended goes on where it stopped.",
    )
    parser.add_argument("--fast", action="store_true", help="small sizes and three distributions: a minute or two")
    parser.add_argument("--bars", action="store_true", help="only what the table of goals needs")
    parser.add_argument(
        "--seconds", type=float, default=0.5, help="that a case may take when its first rounds are over (default: 0.5)"
    )
    parser.add_argument("--out", type=Path, default=Path("results/levels"), help="folder (default: results/levels)")
    parser.add_argument(
        "--largest", type=int, default=22, metavar="E", help="leave out sizes above 2^E; 2^22 takes most of the time"
    )
    parser.add_argument("--page", type=Path, help="a page to write the table of goals into, between marks")
    parser.add_argument("--mark", default="levels", help="name of the page's marks (default: levels)")
    arguments = parser.parse_args(argv)
    plan = Plan.fast() if arguments.fast else Plan.bars() if arguments.bars else Plan.full()
    console = Console() if sys.stdout.isatty() else Console(width=140)
    try:
        records = run(plan.up_to(arguments.largest), arguments.seconds, arguments.out, console)
        if arguments.page:
            arguments.page.write_text(insert(arguments.page.read_text(), arguments.mark, bars.page(records)))
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"python -m eval.levels: {error}", file=sys.stderr)
        return 2
    goals = bars.bar_rows(records)
    console.print(bars.terminal(bars.BAR_COLUMNS, goals) if goals else "sizes of the table of goals: not in this run")
    console.print(f"records, tables and pictures: {arguments.out}/")
    return 0


def run(plan: Plan, seconds: float, out: Path, console: Console) -> list[Record]:
    """Measure all cases of a plan, and write ``records.jsonl``, ``levels.md`` and pictures into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    origin = provenance()
    before = of_same_origin(out / PART, origin)
    cases = list(plan.cases())
    records: list[Record] = []
    columns = (TextColumn("{task.description:48.48}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    begin = time.perf_counter()
    with Progress(*columns, console=console) as bar, open(out / PART, "w") as part:
        task = bar.add_task("", total=len(cases) + 1)

        def keep(found: list[Record]) -> None:
            for record in found:
                records.append({**record, "provenance": origin})
                part.write(json.dumps(records[-1]) + "\n")
            part.flush()
            bar.advance(task)

        def tell(text: str) -> None:
            bar.update(task, description=text)
            if not console.is_terminal:
                console.print(f"{time.perf_counter() - begin:6.0f} s  {text}")

        with pinned(1):
            for name, m, s in cases:
                done = [r for r in before if (r.get("values"), r["m"], r.get("s")) == (name, m, s)]
                if not done:
                    tell(f"{name}, {m:,} values, {s} levels")
                keep(done or measure(name, m, s, seconds))
        tell(f"solve_many: {plan.many[0]} columns of {plan.many[1]:,} values")
        keep([measure_many(*plan.many)])
    os.replace(out / PART, out / "records.jsonl")
    pictures.write(records, out)
    goals, all_cases = bars.bar_rows(records), bars.all_rows(records)
    (out / "levels.md").write_text(
        "# Goals\n\n" + bars.markdown(bars.BAR_COLUMNS, goals) + "\n# All cases\n\n"
        "Times are medians of thread time on one core; a sort is `numpy.sort` of the same values, shuffled, in turns "
        "with the solvers. vNMSE: of stochastic rounding for adv and mdv, of rounding to nearest for mse.\n\n"
        + bars.markdown(bars.ALL_COLUMNS, all_cases)
    )
    return records


if __name__ == "__main__":
    sys.exit(main())
