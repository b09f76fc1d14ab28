"""What one request may ask for."""

from dataclasses import dataclass, fields

from ipaq_index.index.validation import as_count


@dataclass(frozen=True)
class Limits:
    """Bounds of a service; a request beyond one is refused and changes nothing.

    Attributes
    ----------
    body_bytes : int
        Of a request's body.
    queries : int
        Queries in one search.
    k : int
        Neighbours asked for.
    ids : int
        Ids in one filter, addition or removal.
    waiting : int
        Queries that wait for the index at a time, over all requests; with more the service says that it is overloaded.
    batch : int
        Queries that the index is given at once.
    body_seconds : float
        For a request's body to arrive.
    request_seconds : float
        For a request to be answered.
    """

    body_bytes: int = 4 << 20
    queries: int = 256
    k: int = 1000
    ids: int = 100_000
    waiting: int = 1024
    batch: int = 64
    body_seconds: float = 5.0
    request_seconds: float = 10.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int:
                as_count(value, field.name)
            elif not 0 < value < float("inf"):
                raise ValueError(f"{field.name}: expected seconds, more than 0, got {value!r}")
