"""Asking all shards at once, and each again elsewhere until it answers or time is up."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds between rounds over all replicas of a shard that fails


class Gathered(dict[int, T], Generic[T]):
    """Answers by shard, and in ``missing`` why there is none of the others."""

    def __init__(self) -> None:
        super().__init__()
        self.missing: dict[int, str] = {}


@dataclass
class _Pursuit:
    """What has been tried to get one shard's answer."""

    due: float  # when to ask again, if no answer has come
    attempts: int = 0
    reason: str = "no answer in time"


def gather(
    shards: Sequence[int],
    send: Callable[[int, int], "Future[T]"],
    *,
    replicas: int,
    timeout: float,
    patience: float,
    retryable: tuple[type[BaseException], ...],
    once: bool = False,
) -> Gathered[T]:
    """Ask every shard; ask another replica of it if one fails or takes long.

    Parameters
    ----------
    shards : sequence of int
        The shards to ask.
    send : callable
        ``send(shard, attempt)`` asks a replica of the shard, another one for each attempt, and returns at once.
    replicas : int
        How many a shard has: after so many failures the next attempt is made after a pause.
    timeout : float
        Seconds after which shards without an answer are given up.
    patience : float
        Seconds after which a replica that has not answered is no longer relied on: another one is asked too, and the
        first answer counts.
    retryable : tuple of exception types
        What a lost machine raises. Anything else is the caller's fault or a bug, and is raised at once.
    once : bool
        Whether a shard whose replica fails is given up rather than asked again.

    Returns
    -------
    Gathered
        One answer a shard, or in its ``missing`` the reason why there is none.
    """
    deadline = time.monotonic() + timeout
    gathered: Gathered[T] = Gathered()
    pursuits = {shard: _Pursuit(due=0.0) for shard in shards}
    running: dict[Future[T], int] = {}

    def failed(shard: int, error: BaseException) -> None:
        pursuit = pursuits[shard]
        pursuit.reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
        rounds = pursuit.attempts // replicas
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (rounds - 1)) if pursuit.attempts % replicas == 0 else 0.0
        pursuit.due = time.monotonic() + pause
        if once:
            gathered.missing[shard] = pursuits.pop(shard).reason

    while pursuits and (now := time.monotonic()) < deadline:
        for shard, pursuit in list(pursuits.items()):
            if pursuit.due <= now:
                pursuit.attempts += 1
                pursuit.due = now + patience
                try:
                    running[send(shard, pursuit.attempts - 1)] = shard
                except retryable as error:
                    failed(shard, error)
        until = min([deadline, *(pursuit.due for pursuit in pursuits.values())])
        done, _ = wait(running, max(0.0, until - time.monotonic()), FIRST_COMPLETED)
        if not running:
            time.sleep(max(0.0, until - time.monotonic()))
        for future in done:
            shard = running.pop(future)
            if shard not in pursuits:
                continue  # another replica was faster
            try:
                gathered[shard] = future.result()
            except retryable as error:
                failed(shard, error)
            else:
                del pursuits[shard]
    gathered.missing |= {shard: pursuit.reason for shard, pursuit in pursuits.items()}
    return gathered
