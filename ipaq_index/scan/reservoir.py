"""The best candidates so far: an unordered buffer that is cut back to its best now and then.

Candidates are ordered by score, descending, then by row, so what is kept does not depend on how rows were split among
threads or queries among groups.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

Scores = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


@njit(nogil=True, cache=True)
def before(score: np.float32, row: int, other_score: np.float32, other_row: int) -> bool:
    """Return whether the first candidate is better than the second."""
    return bool(score > other_score or (score == other_score and row < other_row))


@njit(nogil=True, cache=True)
def cut(scores: Scores, rows: Rows, count: int, best: int) -> None:
    """Move the ``best`` best of the first ``count`` candidates to the front (quickselect; Hoare, 1961).

    The pivot is the middle one of three, so that ascending or descending input takes linear time too.
    """
    low, high = 0, count - 1
    while low < high:
        middle = (low + high) // 2
        if before(scores[middle], rows[middle], scores[low], rows[low]):
            swap(scores, rows, low, middle)
        if before(scores[high], rows[high], scores[low], rows[low]):
            swap(scores, rows, low, high)
        if before(scores[high], rows[high], scores[middle], rows[middle]):
            swap(scores, rows, middle, high)
        score, row = scores[middle], rows[middle]
        left, right = low, high
        while left <= right:
            while before(scores[left], rows[left], score, row):
                left += 1
            while before(score, row, scores[right], rows[right]):
                right -= 1
            if left <= right:
                swap(scores, rows, left, right)
                left += 1
                right -= 1
        if best - 1 <= right:
            high = right
        elif best - 1 >= left:
            low = left
        else:
            return


@njit(nogil=True, cache=True)
def swap(scores: Scores, rows: Rows, i: int, j: int) -> None:
    """Exchange two candidates."""
    scores[i], scores[j] = scores[j], scores[i]
    rows[i], rows[j] = rows[j], rows[i]


@njit(nogil=True, cache=True)
def insert(score: np.float32, row: int, count: int, scores: Scores, rows: Rows) -> None:
    """Put a candidate where it belongs among the first ``count`` of a sorted list; the last falls off if it is full."""
    place = min(count, len(scores))
    while place and before(score, row, scores[place - 1], rows[place - 1]):
        if place < len(scores):
            scores[place], rows[place] = scores[place - 1], rows[place - 1]
        place -= 1
    if place < len(scores):
        scores[place], rows[place] = score, row
