"""Files made to deceive: the short form of ``python -m tests.storage.fuzz``, which checks bounds and memory too."""

import numpy as np

from tests.storage import fuzz
from tests.storage.craft import made

FIRST = 1_000_000  # cases that the long run does not have


def test_no_case_gets_through():
    tally = fuzz.run(FIRST, 150)
    assert sum(tally.values()) == 150
    kinds = {name.split()[0] for name in tally}
    assert len(kinds) == len(fuzz.KINDS)
    assert min(sum(count for name, count in tally.items() if name.endswith(end)) for end in ("refused", "works")) > 10


def test_cases_found_before_stay_refused():
    """What earlier runs got through: a shift by a number from the file, and centroids at which FAISS finds nothing."""
    seeds = fuzz.seeds()
    state = {**seeds[2][1], "quantizer": {**seeds[2][1]["quantizer"]}}
    for spec in ({"side_bytes": 2**40}, {"side_bytes": -1}, {"states": 2**31}, {"code_bits": 2**62}):
        state["quantizer"]["spec"] = {**seeds[2][1]["quantizer"]["spec"], **spec}
        assert fuzz.outcome(made(state, seeds[2][2])) == "refused"
    for value in (3e38, -3e38, np.nan):
        centroids = np.full_like(seeds[2][2]["partition.centroids"], value)
        assert fuzz.outcome(made(seeds[2][1], {**seeds[2][2], "partition.centroids": centroids})) == "refused"
    assert fuzz.outcome(made(*seeds[2][1:])) == "works"
