"""The plan of the house holds: imports go downward only, import is cheap, files stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "ipaq_index"
# A room may import the rooms above it in this list, and nothing else of the package.
STOREYS = {
    "levels": set(),
    "quantizer": {"levels"},
    "scan": set(),
    "index": {"levels", "quantizer", "scan"},
    "storage": {"index"},
    "integrations": {"index", "storage"},
    "distributed": {"index", "storage"},
    "serve": {"index", "storage"},
}
FILES = sorted(file for folder in ("ipaq_index", "eval", "tests") for file in (ROOT / folder).rglob("*.py"))


def imported_rooms(file: Path) -> set[str]:
    """Return the sub-packages of ipaq_index that a file imports anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{file}: relative import"
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("ipaq_index.")}
    return found & set(STOREYS)


@pytest.mark.parametrize("room", STOREYS)
def test_imports_go_downward_only(room):
    for file in (PACKAGE / room).rglob("*.py"):
        assert imported_rooms(file) <= STOREYS[room] | {room}, file


def test_the_import_check_sees_imports(tmp_path):
    file = tmp_path / "a.py"
    file.write_text("def f():\n    from ipaq_index import scan\n    import ipaq_index.index.ids\n    import numpy\n")
    assert imported_rooms(file) == {"scan", "index"}


def test_import_compiles_nothing():
    code = "import sys, ipaq_index; print([m for m in ('numba', 'faiss', 'scipy', 'h5py') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.strip() == "[]"


def test_public_names_resolve():
    import ipaq_index

    for name in ipaq_index.__all__:
        assert getattr(ipaq_index, name) is not None
    assert set(ipaq_index.__all__) <= set(dir(ipaq_index))
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = ipaq_index.nothing_of_the_kind


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_have_one_subject(file):
    assert len(file.read_text().splitlines()) < 500
    assert file.stem not in ("utils", "helpers", "common", "misc")
