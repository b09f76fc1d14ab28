"""The manifest of a directory of shards: which files belong together, and what is in them.

::

    DIRECTORY/
      manifest.json                 written last, replaced in one step: what it names is complete
      trained-000003.ipaq           the trained index without vectors that all shards of the generation come from
      shard-00000-000003.ipaq …     one index file a shard, of generation 3
      writes/…                      adds and removals since (see `ipaq_index.distributed.writes`)
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import xxhash

from ipaq_index.distributed.errors import ManifestError
from ipaq_index.storage import disk

FORMAT = 1
NAME = "manifest.json"
HEAD_BYTES = 128  # preamble and commit record of an index file: they hold the digests of everything behind them


@dataclass(frozen=True)
class Shard:
    """One file of a generation.

    Attributes
    ----------
    file : str
        Name in the directory.
    count : int
        Vectors in it.
    bytes : int
        Its length.
    fingerprint : str
        XXH3-64 of its first 128 bytes, which hold the digest of the header, which holds those of all sections: it
        tells a file from any other without reading all of it.
    """

    file: str
    count: int
    bytes: int
    fingerprint: str

    @classmethod
    def of(cls, path: Path, count: int) -> "Shard":
        """Describe a file that has just been saved."""
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
        return cls(path.name, count, path.stat().st_size, f"{xxhash.xxh3_64_intdigest(head):016x}")

    def check(self, directory: Path) -> Path:
        """Return the path of the file if it is the one that is meant.

        Raises
        ------
        ManifestError
            If it is missing or another one.
        """
        path = directory / self.file
        try:
            found = Shard.of(path, self.count)
        except OSError as error:
            raise ManifestError(f"{path}: cannot be read ({error})") from error
        if found != self:
            raise ManifestError(
                f"{path}: expected {self.bytes} bytes with fingerprint {self.fingerprint}, "
                f"got {found.bytes} with {found.fingerprint}: not the file that the manifest names"
            )
        return path


@dataclass(frozen=True)
class Manifest:
    """What a directory of shards holds.

    Attributes
    ----------
    generation : int
        Counts the manifests that a directory has had.
    dim : int
        Dimension of the vectors.
    metric : str
        "ip", "cosine" or "l2".
    next_id : int
        The id that the next vector gets that is added without one.
    sequence : int
        The last logged write that the shards' files contain.
    trained : Shard
        The trained index without vectors.
    shards : tuple of Shard
        In the order of their numbers.
    """

    generation: int
    dim: int
    metric: str
    next_id: int
    sequence: int
    trained: Shard
    shards: tuple[Shard, ...]

    @property
    def count(self) -> int:
        """Vectors in all files."""
        return sum(shard.count for shard in self.shards)

    def write(self, directory: Path) -> None:
        """Put this manifest in the place of the directory's, in one durable step."""
        content = {"format": FORMAT, **asdict(self)}
        data = json.dumps({**content, "xxh3": _digest(content)}, indent=1).encode("ascii")
        with disk.replacement(directory / NAME) as handle:
            disk.write(handle, data, 0)

    @classmethod
    def read(cls, directory: Path) -> "Manifest":
        """Read the directory's manifest.

        Raises
        ------
        ManifestError
            If there is none, or it is damaged or of a newer version.
        """
        path = directory / NAME
        try:
            content = json.loads(path.read_bytes())
            digest = content.pop("xxh3")
        except FileNotFoundError as error:
            raise ManifestError(f"{path}: not found; expected a directory made by ipaq_index.distributed") from error
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ManifestError(f"{path}: damaged (not a manifest: {error})") from error
        if digest != _digest(content):
            raise ManifestError(f"{path}: damaged (checksum differs)")
        if content.pop("format") != FORMAT:
            raise ManifestError(f"{path}: written by another version of ipaq_index; this one reads format {FORMAT}")
        return cls(
            **{field.name: content[field.name] for field in fields(cls) if field.name not in ("trained", "shards")},
            trained=Shard(**content["trained"]),
            shards=tuple(Shard(**shard) for shard in content["shards"]),
        )


def next_generation(directory: Path) -> int:
    """Return the number of the generation that would come next."""
    return Manifest.read(directory).generation + 1 if (directory / NAME).exists() else 1


def shard_file(shard: int, generation: int) -> str:
    """Return the name of a shard's file."""
    return f"shard-{shard:05}-{generation:06}.ipaq"


def trained_file(generation: int) -> str:
    """Return the name of the file of the trained index without vectors."""
    return f"trained-{generation:06}.ipaq"


@contextmanager
def sole_writer(directory: Path) -> Iterator[None]:
    """Hold the directory's lock, which everything takes that changes the directory; waits for others.

    The lock is one of the file system (``flock``): between machines it needs one that has it, as NFSv4, Lustre and
    CephFS do.
    """
    with open(directory / ".lock", "a+b") as file:
        disk.lock(file.fileno())
        yield


def generations(directory: Path) -> list[tuple[int, Path]]:
    """Return the files of all generations in a directory, each with the number of its generation."""
    found = [*directory.glob("shard-*-*.ipaq"), *directory.glob("trained-*.ipaq")]
    numbers = [(path.stem.rsplit("-", 1)[1], path) for path in found]
    return [(int(number), path) for number, path in sorted(numbers) if number.isdigit()]


def _digest(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")
    return f"{xxhash.xxh3_64_intdigest(canonical):016x}"
