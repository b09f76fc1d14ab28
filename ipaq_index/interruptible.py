"""Long work that Ctrl-C stops within a second.

Python runs signal handlers in the main thread and between two of its own instructions. So compiled code must come back
now and then (`slices`), a pool must not wait for work that nobody wants any more (`mapped`), and what belongs to other
libraries and cannot come back is waited for, not run, by the main thread (`apart`).
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from time import perf_counter
from typing import Any, TypeVar

PERIOD = 0.1  # seconds that a slice shall take
FIRST = 1 << 29  # elementary steps of the first slice: 5 to 20 ms of vector code

Job = TypeVar("Job")
Result = TypeVar("Result")
_here = threading.local()


class Stopped(Exception):
    """Raised in a worker whose caller is gone; nobody sees it."""


def slices(total: int, cost: float, least: int = 1) -> Iterator[tuple[int, int]]:
    """Yield ``(first, last)`` that cover ``range(total)``: as much at a time as takes about a tenth of a second.

    Between two of them Ctrl-C is heard, in a worker of `mapped` too. What is sliced must not depend on where.

    Parameters
    ----------
    total : int
        How much there is to do.
    cost : float
        Steps for each, about: those of vector code count as one. It decides the first slice only; from then on the
        clock does.
    least : int
        A slice's size is a multiple of this, but for the last one's.
    """
    first, size = 0, max(1, int(FIRST / max(cost, 1) / least))
    while first < total:
        stop = getattr(_here, "stop", None)
        if stop is not None and stop.is_set():
            raise Stopped
        last = min(first + size * least, total)
        begin = perf_counter()
        yield first, last
        pace = PERIOD / max(perf_counter() - begin, 1e-9)
        size = max(1, int(size * min(max(pace, 0.25), 2)))
        first = last


def mapped(function: Callable[[Job], Result], jobs: Sequence[Job], threads: int) -> list[Result]:
    """Return ``[function(job) for job in jobs]``, worked on by at most ``threads`` threads.

    After Ctrl-C, or an exception in one job, no other begins, and those that have begun end at their next slice.
    """
    if threads <= 1 or len(jobs) <= 1:
        return [function(job) for job in jobs]
    stop = threading.Event()

    def work(job: Job) -> Result:
        _here.stop = stop
        if stop.is_set():
            raise Stopped
        return function(job)

    with ThreadPoolExecutor(min(threads, len(jobs))) as pool:
        futures: list[Future[Result]] = []
        try:
            for job in jobs:
                futures.append(pool.submit(work, job))  # noqa: PERF401  # those begun must be known if Ctrl-C comes now
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()
            return [future.result() for future in futures]
        except BaseException:
            stop.set()
            for future in futures:
                future.cancel()
            raise


def apart(function: Callable[..., Result], *arguments: Any) -> Result:
    """Return ``function(*arguments)``, run in a thread of its own that Ctrl-C leaves to itself.

    For pure functions that spend seconds in a library's compiled code. Elsewhere than in the main thread, which alone
    hears Ctrl-C, it is called as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        return function(*arguments)
    outcome: list[Result] = []
    fault: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(function(*arguments))
        except BaseException as error:
            fault.append(error)

    worker = threading.Thread(target=work, daemon=True)  # the process may end without it
    worker.start()
    worker.join()
    if fault:
        raise fault[0]
    return outcome[0]
