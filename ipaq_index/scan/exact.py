"""Exact scores of rows that are asked for."""

import numpy as np
from numba import njit

from ipaq_index.arrays import zeros
from ipaq_index.inner import inner
from ipaq_index.scan.block import scale
from ipaq_index.scan.packed import Floats, Integers, Meaning, Rows
from ipaq_index.scan.together import ROWS, make_together, row_totals


@njit(nogil=True, cache=True)
def score_rows(rows: Rows, meaning: Meaning, p: Floats, numbers: Integers, scores: Floats) -> None:
    """Score some rows exactly for each query: ``scores`` is (nq, rows)."""
    known, together = known_parts(p, meaning), make_together(rows, meaning)
    for q in range(len(p)):
        for first in range(0, len(numbers), ROWS):
            gathered = min(ROWS, len(numbers) - first)
            for g in range(gathered):
                together.numbers[g] = numbers[first + g]
            row_totals(rows, meaning, p[q], together)
            for g in range(gathered):
                row = together.numbers[g]
                score = scale(rows.side[row], meaning.scale_format) * (together.totals[g] + known[q])
                if len(rows.bias):
                    score += rows.bias[row]
                scores[q, first + g] = score


@inner
def known_parts(p: Floats, meaning: Meaning) -> Floats:
    """Return what dimensions without bits add to each query's sums."""
    known = zeros(len(p), np.float32)
    fill_known(p, meaning, known)
    return known


@inner
def fill_known(p: Floats, meaning: Meaning, known: Floats) -> None:
    """Set ``known``, (nq,) float32, to `known_parts`."""
    fixed = meaning.fixed
    for q in range(len(p)):
        total = np.float32(0)
        for j in range(len(fixed)):
            total += p[q, j] * fixed[j]
        known[q] = total
