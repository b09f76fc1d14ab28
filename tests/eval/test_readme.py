"""The README's lines and section are what the tools expect."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eval import readme, report

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
RECORD = {
    "name": "FAISS Flat",
    "dataset": "d",
    "metric": "ip",
    "experiment": "t",
    "shape": [1000, 8],
    "search_threads": 1,
    "build_threads": 2,
    "bytes_per_vector": 32,
    "build_seconds": 0.1,
    "build_peak_bytes": 1e6,
    "recall@10": 1.0,
    "recall@100": 1.0,
    "batch_queries": 10,
    "batch_seconds": [0.1],
    "single_seconds": [0.01],
    "provenance": {"cpu": "c", "isa": ["avx2"], "versions": {"faiss-cpu": "1"}},
}


def test_section_stands_between_its_marks():
    text = readme.section([RECORD], "quickstart")
    changed = readme.insert(README, "quickstart", text)
    assert report.markdown([RECORD]) in changed
    assert readme.insert(changed, "quickstart", text) == changed
    with pytest.raises(ValueError, match="expected the marks <!-- nothing -->"):
        readme.insert(README, "nothing", text)


def test_several_data_sets_share_a_section():
    both = [RECORD, RECORD | {"dataset": "e", "shape": [500, 4]}]
    text = readme.section(both, "standard")
    assert text.count(report.markdown([RECORD])) == 2
    assert text.count("docs/standard.png") == 1
    assert "e (ip): 500 x 4" in text


def test_the_two_lines_name_what_exists():
    lines = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert len(lines) == 2
    (config,) = re.findall(r"-m eval (\S+)", lines[0])
    assert (ROOT / config).exists()
    assert lines[1].endswith("-m pytest")
    assert (ROOT / "docs" / "quickstart.png").exists()


def test_the_example_runs(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(code)
    shutil.copytree(ROOT / "ipaq_index", tmp_path / "ipaq_index")
    subprocess.run([sys.executable, script], cwd=tmp_path, check=True, timeout=300)
    assert (tmp_path / "vectors.ipaq").exists()
