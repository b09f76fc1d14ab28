"""Put an experiment's table and picture into the README: ``python -m eval.readme results/quickstart``."""

import argparse
import json
import shutil
import sys
from pathlib import Path

from eval import report

ROOT = Path(__file__).parent.parent


def section(records: list[report.Record], name: str) -> str:
    """Return table, picture and provenance in Markdown."""
    first = records[0]
    n, dim = first["shape"]
    origin = first["provenance"]
    machine = f"{origin['cpu']} ({', '.join(origin['isa'])}), faiss-cpu {origin['versions']['faiss-cpu']}"
    where = (
        f"{first['experiment']}: {n:,} x {dim}. Search on {first['search_threads']} pinned thread, building on "
        f"{first['build_threads']}; {machine}. "
        "Medians of alternating rounds; recall is against exact search, queries are not among the vectors. "
        "`bytes/vector` counts codes, scale and norm."
    )
    return f"{where}\n\n{report.markdown(records)}\n![recall against speed and against bytes](docs/{name}.png)\n"


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
    """Rewrite the README's section for one folder of results; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m eval.readme", description="Put results into the README.")
    parser.add_argument("results", type=Path, help="a folder that `python -m eval` wrote, such as results/quickstart")
    folder = parser.parse_args(argv).results
    name = folder.name
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    readme = ROOT / "README.md"
    readme.write_text(insert(readme.read_text(), name, section(records, name)))
    shutil.copyfile(folder / "recall_speed.png", ROOT / "docs" / f"{name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
