"""A process that is killed while it writes leaves a file that holds all that was acknowledged."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import ipaq_index as iq

WRITER = """
import sys
import numpy as np
import ipaq_index as iq

index, how = iq.load(sys.argv[1]), sys.argv[2]
while True:
    first = len(index)
    index.add(np.full((20, 4), first, dtype=np.float32), np.arange(first, first + 20))
    if how == "sync":
        index.sync(sys.argv[1])
    elif how == "compact":
        iq.sync(index, sys.argv[1], compact=True)
    else:
        iq.save(index, sys.argv[1])
    print(len(index), flush=True)
"""


@pytest.mark.parametrize("how", ["sync", "compact", "save"])
def test_what_was_acknowledged_is_there_after_a_kill(tmp_path, how):
    path, rng = tmp_path / "a.ipaq", np.random.default_rng(0)
    iq.save(iq.Index(4, encoding="scalar").build(np.zeros((20, 4)), ids=np.arange(20)), path)
    for _ in range(3):
        command = [sys.executable, "-c", WRITER, str(path), how]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        assert process.stdout is not None
        said = process.stdout.readline()
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        said += process.stdout.read()
        process.wait()
        acknowledged = int(said.split()[-1])
        iq.verify(path)
        index = iq.load(path)
        assert len(index) in (acknowledged, acknowledged + 20)
        np.testing.assert_array_equal(index.ids(), np.arange(len(index)))
        if how != "sync":
            iq.save(index, path)  # removes what the killed one left
        else:
            index.sync(path)
        assert [entry.name for entry in tmp_path.iterdir() if entry.name.endswith(".part")] == []
