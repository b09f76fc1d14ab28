"""Tables from other libraries as NumPy arrays, by what their objects can do: none of those libraries is imported."""

from typing import Any

import numpy as np

ARROW, DATASETS = "pyarrow.", "datasets."


def as_array(x: Any, name: str) -> Any:
    """Return the numbers of ``x`` as an array, without a copy where its library allows that.

    Parameters
    ----------
    x : object
        A torch tensor (on any device, attached to a graph or not, bfloat16 too) or a list of them, as ``encode`` of
        sentence-transformers returns; an Arrow array or chunked column of lists, fixed-size lists or tensors; a column
        of a Hugging Face data set; a Polars or pandas column of lists or arrays; anything that NumPy understands.
    name : str
        What the caller calls this argument; used in messages.

    Returns
    -------
    numpy.ndarray or object
        The array; ``x`` itself where nothing is known of it.

    Raises
    ------
    ValueError
        If a column has missing values or rows of different lengths.
    TypeError
        If ``x`` is a whole table with a column of something else than numbers.
    """
    if _is_deferred(x):  # NumPy would read all of it
        raise TypeError(_whole(x, name))
    array = _converted(x, name)
    if hasattr(x, "columns") and np.asarray(array).dtype.kind not in "fiu":
        raise TypeError(_whole(x, name))
    return array


def _is_deferred(x: Any) -> bool:
    """Whether ``x`` is a data set of Hugging Face or a lazy frame of Polars."""
    dataset = type(x).__module__.startswith(DATASETS) and hasattr(x, "add_column")
    return dataset or (hasattr(x, "collect_schema") and not hasattr(x, "to_numpy"))


def _whole(x: Any, name: str) -> str:
    names = getattr(x, "column_names", None)
    if names is None and hasattr(x, "to_numpy"):
        names = list(x.columns)
    which = "" if names is None else f" with columns {', '.join(map(repr, names[:5]))}{', …' * (len(names) > 5)}"
    other = "; add_dataset takes a whole data set" if type(x).__module__.startswith(DATASETS) else ""
    return f"{name}: expected one column of vectors, got a whole {type(x).__name__}{which}; pass one of them{other}"


def _converted(x: Any, name: str) -> Any:
    if isinstance(x, np.ndarray):
        return _stacked(x, name)
    if hasattr(x, "detach"):
        return _tensor(x)
    if isinstance(x, list | tuple) and len(x) and hasattr(x[0], "detach"):
        return _stacked_rows([_tensor(row) for row in x], name)
    module = type(x).__module__
    if module.startswith(ARROW) and hasattr(x, "null_count"):
        return _arrow(x, name)
    if module.startswith(DATASETS) and hasattr(x, "source") and hasattr(x, "column_name"):
        return _arrow(x.source.with_format("arrow")[:][x.column_name], name)
    if hasattr(x, "to_numpy"):  # Polars and pandas
        return _stacked(x.to_numpy(), name)
    return x


def _tensor(x: Any) -> np.ndarray:
    values = x.detach().cpu()
    if str(values.dtype) == "torch.bfloat16":  # which NumPy does not have
        values = values.float()
    return np.asarray(values)


def _stacked(x: np.ndarray, name: str) -> np.ndarray:
    """Turn a column of rows (dtype object) into a table."""
    if x.dtype != object or x.ndim != 1 or not len(x) or not isinstance(x[0], np.ndarray | list | tuple):
        return x
    return _stacked_rows([np.asarray(row) for row in x], name)


def _stacked_rows(rows: list[np.ndarray], name: str) -> np.ndarray:
    shapes = {row.shape for row in rows}
    if len(shapes) > 1:
        raise ValueError(f"{name}: expected rows of one length, got shapes {sorted(shapes)[:5]}")
    return np.stack(rows)


def _arrow(x: Any, name: str) -> np.ndarray:
    """Return an Arrow column of numbers as (n,), of lists as (n, d)."""
    if hasattr(x, "chunks"):
        parts = [_arrow(chunk, name) for chunk in x.chunks if len(chunk)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)
    if hasattr(x, "storage"):  # an extension type, such as a tensor of fixed shape
        x = x.storage
    if x.null_count:
        raise ValueError(f"{name}: expected values in every place, got {x.null_count} missing")
    if not hasattr(x, "value_lengths"):
        return np.asarray(x.to_numpy(zero_copy_only=False))
    lengths = np.unique(x.value_lengths().to_numpy(zero_copy_only=False))
    if len(lengths) != 1:
        raise ValueError(f"{name}: expected rows of one length, got lengths {lengths[:5].tolist()}")
    return _arrow(x.flatten(), name).reshape(len(x), int(lengths[0]))
