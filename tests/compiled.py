"""Inner functions run as plain Python when Python calls them; `compiled` has them called by a compiled one."""

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what does the same as an inner function, compiled."""
    called: Callable[..., Any] = njit(lambda *arguments: function(*arguments))
    return called
