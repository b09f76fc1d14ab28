"""What Prometheus may ask of a service."""

from collections.abc import Callable

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of one service, in a registry of their own.

    Parameters
    ----------
    paths : iterable of str
        Those that are told apart; a request for any other counts as "other", so that clients cannot invent labels.
    vectors, waiting : callable
        Give the number of vectors and of waiting queries when asked.
    """

    def __init__(self, paths: list[str], vectors: Callable[[], int], waiting: Callable[[], int]) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._paths = set(paths)
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "ipaq_requests", "Requests by path and status.", ["path", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "ipaq_request_seconds", "From a request's headers to the end of its answer.", ["path"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self._batches = Histogram(
            "ipaq_batch_queries", "Queries that the index was given at once.", buckets=BATCHES, registry=self.registry
        )
        self._search = Histogram(
            "ipaq_search_seconds", "Time of the index for a batch.", buckets=SECONDS, registry=self.registry
        )
        Gauge("ipaq_vectors", "Vectors in the index.", registry=self.registry).set_function(vectors)
        Gauge("ipaq_waiting_queries", "Queries that wait for the index.", registry=self.registry).set_function(waiting)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request; status 0 is one whose client went away."""
        known = path if path in self._paths else "other"
        self._requests.labels(known, str(status)).inc()
        self._seconds.labels(known).observe(seconds)

    def batch(self, queries: int, seconds: float) -> None:
        """Count a search of the index."""
        self._batches.observe(queries)
        self._search.observe(seconds)

    def text(self) -> bytes:
        """Return all of it in Prometheus' format."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)
