"""Tables of embeddings on the Hugging Face hub, memory-mapped by its library."""

from pathlib import Path
from typing import Any

import numpy as np

from ipaq_index.integrations.vector_files import ParquetTable, VectorTable, arrow_rows


class HubTable:
    """A column of lists of a `datasets.Dataset`, which stays on disk (Arrow, memory-mapped).

    Parameters
    ----------
    data : datasets.Dataset
        As `datasets.load_dataset(…, split=…)` returns it.
    column : str
        The column of vectors.
    """

    def __init__(self, data: Any, column: str) -> None:
        if column not in data.column_names:
            raise ValueError(f"dataset: expected a column {column!r}, got {', '.join(data.column_names)}")
        self._data = data.select_columns([column]).with_format("arrow")
        self._column = column
        self.shape: tuple[int, ...] = (len(data), self[0:1].shape[1])

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, rows: Any) -> np.ndarray:
        return arrow_rows(self._data[rows], [self._column], self._column)


def open_hub(name: str, path: str, column: str, folder: Path, part: str = "") -> VectorTable:
    """Return the vectors of a data set of the hub, from parquet files in the data folder if they are there.

    Parameters
    ----------
    name : str
        Its folder in the data folder.
    path : str
        OWNER/NAME on the hub.
    column : str
        The column of vectors.
    folder : Path
        The data folder.
    part : str
        "train" or "test" where vectors and queries are parts of their own, each a configuration with one split of the
        same name (open-vdb); empty where there is one table, the split "train".

    Raises
    ------
    OSError
        If it is neither there nor to be had; the message says what to put where.
    """
    by_hand = folder / name / part
    files = sorted(by_hand.glob("*.parquet"))
    if files:
        return ParquetTable(files, column)
    import datasets

    try:
        data = datasets.load_dataset(path, part or None, split=part or "train", cache_dir=str(folder / "hub"))
    except Exception as error:  # the library raises errors of many kinds for "offline"
        raise OSError(
            f"dataset {name}: could not be loaded from the hub ({type(error).__name__}: {error}). Put the parquet "
            f"files of {f'{path}/{part}' if part else path} into {by_hand}/ by hand"
        ) from error
    return HubTable(data, column)
