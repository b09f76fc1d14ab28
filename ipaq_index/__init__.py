"""Maximum inner-product search in compressed codes.

    import ipaq_index as iq
    index = iq.Index(dim, bits=4, metric="ip")
    index.build(x)
    scores, ids = index.search(q, k=10)

Names are resolved on first use (PEP 562), so that ``import ipaq_index`` costs milliseconds and compiles nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipaq_index import levels
    from ipaq_index.index import Index, index_factory
    from ipaq_index.storage import IndexFileError, load, save, sync, verify

__version__ = "0.1.0"
__all__ = ["Index", "IndexFileError", "__version__", "index_factory", "levels", "load", "save", "sync", "verify"]

_HOMES = {"Index": "ipaq_index.index", "index_factory": "ipaq_index.index"} | dict.fromkeys(
    ("IndexFileError", "load", "save", "sync", "verify"), "ipaq_index.storage"
)


def __getattr__(name: str) -> Any:
    if name == "levels":
        return import_module("ipaq_index.levels")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'ipaq_index' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
