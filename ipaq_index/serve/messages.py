"""The bodies of requests and answers. Only `ipaq_index.serve.service` imports this, and with it pydantic."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt


class Request(BaseModel):
    """A request with a field that is not known is refused: it would not do what its sender expects."""

    model_config = ConfigDict(extra="forbid")


class SearchRequest(Request):
    """A search."""

    queries: list[list[float]] = Field(min_length=1, description="One list of `dim` numbers a query.")
    k: StrictInt = Field(default=10, ge=1, description="How many neighbours.")
    filter: list[StrictInt] | None = Field(default=None, description="Ids that may be returned.")
    nprobe: StrictInt | None = Field(default=None, ge=1, description="Lists that a partitioned index looks into.")


class Found(BaseModel):
    """Neighbours of each query, best first; fewer than `k` where the index (or the filter) has fewer."""

    scores: list[list[float]]
    ids: list[list[int]]


class AddRequest(Request):
    """An addition: all vectors, or none."""

    vectors: list[list[float]] = Field(min_length=1, description="One list of `dim` numbers a vector.")
    ids: list[StrictInt] | None = Field(default=None, description="Their ids; numbers continue if not given.")


class Added(BaseModel):
    """The ids of the vectors added, and how many the index holds now."""

    ids: list[int]
    vectors: int


class RemoveRequest(Request):
    """A removal: all ids, or none."""

    ids: list[StrictInt] = Field(min_length=1)
    missing: Literal["raise", "ignore"] = Field(default="raise", description="What to do about ids not in the index.")


class Removed(BaseModel):
    """How many vectors were removed, and how many the index holds now."""

    removed: int
    vectors: int


class Info(BaseModel):
    """What the service serves."""

    dim: int
    metric: str
    vectors: int
    bytes_per_vector: float
    read_only: bool
    version: str
