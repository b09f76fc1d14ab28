"""The warm-up compiles what a user meets."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from numba.core.dispatcher import Dispatcher

import ipaq_index as iq
from ipaq_index.warmup import KINDS, warm


def compiled():
    """Return how many signatures each kernel of the package has been compiled (or loaded) for."""
    return {
        f"{name}.{kernel.__name__}": len(kernel.signatures)
        for name, module in list(sys.modules.items())
        if name.startswith("ipaq_index")
        for kernel in vars(module).values()
        if isinstance(kernel, Dispatcher)
    }


def test_nothing_is_left_to_compile(tmp_path):
    told = []
    account = warm(lambda name, seconds: told.append(name))
    assert told == list(KINDS)
    assert account["seconds"] > 0
    assert Path(account["cache"]).is_dir()
    before = compiled()
    x = np.random.default_rng(1).standard_normal((1000, 24), dtype=np.float32)
    for parameters in KINDS.values():
        iq.save(iq.Index(24, **parameters).build(x), tmp_path / "a")
        for index in (iq.load(tmp_path / "a"), iq.load(tmp_path / "a", mmap=True)):
            for q in (x[0], x[:3], x[:300]):
                index.search(q, k=5)
                index.search(q, filter=np.arange(500))
    assert compiled() == before


def test_the_cache_can_be_elsewhere(tmp_path):
    """As where the installation cannot be written: NUMBA_CACHE_DIR, or else the user's cache folder."""
    code = "from ipaq_index.scan import kernel; print(kernel.by_products.stats.cache_path)"
    environment = {"NUMBA_CACHE_DIR": str(tmp_path), "PATH": ""}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.startswith(str(tmp_path))
