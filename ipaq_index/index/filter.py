"""Which rows a search may return."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ipaq_index.index.content import Content
from ipaq_index.index.ids import Ids
from ipaq_index.index.validation import as_id_array, refuse_missing
from ipaq_index.scan import BLOCK


def allowed_rows(filter: Any, content: Content) -> Ids:
    """Return the rows that a filter allows, ascending.

    Parameters
    ----------
    filter : array_like
        Ids (those that the index does not hold allow nothing), or a boolean mask over the vectors in the order in which
        they were added.

    Raises
    ------
    TypeError, ValueError
        If it is neither.
    """
    refuse_missing(filter, "filter")
    given = np.asarray(filter)
    if given.dtype == bool:
        if given.shape != (content.total,):
            raise ValueError(f"filter: expected a boolean mask of shape ({content.total},), got {given.shape}")
        return np.sort(content.ids.in_order()[given])
    rows = content.ids.rows_of(as_id_array(given, "filter"))
    return np.unique(rows[rows >= 0])


def as_words(rows: Ids, blocks: int) -> npt.NDArray[np.uint32]:
    """Return rows as one word a block: bit i of word b is row 32 b + i."""
    mask = np.zeros(blocks * BLOCK, dtype=bool)
    mask[rows] = True
    return np.packbits(mask, bitorder="little").view("<u4")
