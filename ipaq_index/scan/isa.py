"""The vector instruction set that kernels are emitted for: chosen once from what LLVM says the host has.

Each instruction set is a type of its own: a kernel that takes one as an argument is compiled, and cached, anew for it.
"""

import os
from functools import cache
from typing import NamedTuple

from llvmlite import binding

VARIABLE = "IPAQ_ISA"


class Avx512(NamedTuple):
    """x86-64 with AVX-512 BW, VBMI (64-entry byte tables), VNNI (sums of four bytes) and GFNI (matrices of 8 x 8 bits).

    Ice Lake, Zen 4 and later.
    """

    code: int = 3


class Avx2(NamedTuple):
    """x86-64 with AVX2: Haswell, Zen and later."""

    code: int = 2


class Neon(NamedTuple):
    """AArch64 with dot products of bytes: Neoverse N1, Apple M1 and later."""

    code: int = 1


class Portable(NamedTuple):
    """Plain loops, on any CPU that numba knows."""

    code: int = 0


Isa = Avx512 | Avx2 | Neon | Portable
NAMES: dict[str, Isa] = {"avx512": Avx512(), "avx2": Avx2(), "neon": Neon(), "portable": Portable()}
NEEDS = {
    "avx512": ("avx512bw", "avx512vl", "avx512vbmi", "avx512vnni", "gfni"),
    "avx2": ("avx2",),
    "neon": ("neon", "dotprod"),
    "portable": (),
}


def available() -> list[str]:
    """Return the names of the instruction sets that this host runs, best first."""
    # NUMBA_CPU_NAME makes numba emit code for another CPU than this one: then only plain loops are sure to compile.
    features = {} if os.environ.get("NUMBA_CPU_NAME") else binding.get_host_cpu_features()
    return [name for name, needs in NEEDS.items() if all(features.get(need) for need in needs)]


def choose(wanted: str | None = None) -> Isa:
    """Return the instruction set to use: ``wanted``, else the environment's ``IPAQ_ISA``, else the best there is.

    Raises
    ------
    ValueError
        If the one asked for is unknown, or this host does not run it.
    """
    wanted = wanted or os.environ.get(VARIABLE)
    return _chosen(wanted) if wanted else _best()


@cache
def _best() -> Isa:
    return NAMES[available()[0]]


@cache
def _chosen(name: str) -> Isa:
    if name not in NAMES:
        raise ValueError(f"{VARIABLE}: expected one of {', '.join(NAMES)}, got {name!r}")
    if name not in available():
        raise ValueError(f"{VARIABLE}: this machine does not run {name!r}; it runs {', '.join(available())}")
    return NAMES[name]
