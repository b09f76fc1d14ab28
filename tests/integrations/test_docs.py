"""The snippets of the documentation run."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "integrations.md").read_text()
SNIPPETS = {
    name.strip(): code
    for name, code in re.findall(r"^#+ ([^\n]+)\n(?:(?!^#).)*?```python\n(.*?)```", PAGE, re.M | re.S)
}


def test_every_part_has_its_snippet():
    assert list(SNIPPETS) == ["LangChain", "LlamaIndex", "Haystack", "FAISS", "scikit-learn", "What an index takes"]
    assert PAGE.count("```python") == len(SNIPPETS)


@pytest.mark.parametrize("name", SNIPPETS)
def test_the_snippet_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(SNIPPETS[name], f"docs/integrations.md: {name}", "exec"), {"__name__": "snippet"})
