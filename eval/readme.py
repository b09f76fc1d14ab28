"""Put an experiment's tables and picture into the README: ``python -m eval.readme results/quickstart``."""

import argparse
import shutil
import sys
from pathlib import Path

from eval import report

ROOT = Path(__file__).parent.parent


def section(records: list[report.Record], name: str) -> str:
    """Return tables, picture and provenance in Markdown."""
    first = records[0]
    groups = report.by_dataset(records)
    origin = first["provenance"]
    machine = f"{origin['cpu']} ({', '.join(origin['isa'])}), faiss-cpu {origin['versions']['faiss-cpu']}"
    n, dim = first["shape"]
    what = f": {n:,} x {dim}" if len(groups) == 1 else ""
    where = (
        f"{first['experiment']}{what}. Search on {first['search_threads']} pinned thread, building on "
        f"{first['build_threads']}; {machine}. "
        "Medians of alternating rounds (spread: half the middle half of batch times); recall is against exact search, "
        "queries are not among the vectors. `bytes/vector` counts codes, scale, norm and links."
    )
    picture = f"![recall against speed and against bytes](docs/{name}.png)"
    if len(groups) == 1:
        return f"{where}\n\n{report.markdown(records)}\n{picture}\n"
    parts = [f"{where}\n\n{picture}\n"]
    for group in groups.values():
        head = f"<details><summary>{report.title(group)}</summary>"
        parts.append(f"\n{head}\n\n{report.markdown(group)}\n{report.standing(group)}\n\n</details>\n")
    return "".join(parts)


def insert(readme: str, name: str, text: str) -> str:
    """Return the README with ``text`` between its marks ``<!-- NAME -->`` and ``<!-- /NAME -->``.

    Raises
    ------
    ValueError
        If a mark is missing.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, found, rest = readme.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise ValueError(f"README.md: expected the marks {begin.strip()} and {end}")
    return before + begin + text + end + after


def main(argv: list[str] | None = None) -> int:
    """Rewrite the README's section for each folder of results; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m eval.readme", description="Put results into the README.")
    parser.add_argument(
        "results", type=Path, nargs="+", help="folders that `python -m eval` wrote, such as results/quickstart"
    )
    readme = ROOT / "README.md"
    for folder in parser.parse_args(argv).results:
        try:
            text = insert(readme.read_text(), folder.name, section(report.read(folder), folder.name))
        except ValueError as error:
            print(f"python -m eval.readme: {error}", file=sys.stderr)
            return 2
        readme.write_text(text)
        shutil.copyfile(folder / "recall_speed.png", ROOT / "docs" / f"{folder.name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
