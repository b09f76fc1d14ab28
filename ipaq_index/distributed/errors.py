"""What can go wrong between many machines."""

from collections.abc import Mapping


class ManifestError(ValueError):
    """A directory's manifest, a file it names or a logged write is missing, damaged or of another version."""


class GenerationError(RuntimeError):
    """A server does not hold the generation that was asked for: it has been retired, or not been loaded yet."""


class MissingShardsError(RuntimeError):
    """Some shards gave no answer in time, so that an answer would not have been complete.

    Attributes
    ----------
    missing : dict of int to str
        The shards without an answer, each with what was last seen of it.
    """

    def __init__(self, missing: Mapping[int, str]) -> None:
        self.missing = dict(missing)
        told = "; ".join(f"shard {shard}: {reason}" for shard, reason in sorted(self.missing.items()))
        super().__init__(f"no answer from {len(self.missing)} shard(s): {told}")

    def __reduce__(self) -> tuple[type, tuple[dict[int, str]]]:
        return MissingShardsError, (self.missing,)
