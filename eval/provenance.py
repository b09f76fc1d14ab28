"""Where a figure comes from: commit, machine and versions, written into every record."""

import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("ipaq-index", "faiss-cpu", "numpy", "numba", "llvmlite")


def provenance() -> dict[str, Any]:
    """Return commit, CPU, its vector instruction sets, cores, memory and versions as JSON-able values."""
    return {
        "commit": _commit(),
        "cpu": _cpu(),
        "isa": _isa(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def of_same_origin(file: Path, origin: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the records in a file that an unfinished run left, as far as they are of the same `provenance`."""
    if not file.exists():
        return []
    records = []
    for line in file.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:  # the line that was being written when the run ended
            break
    return [record for record in records if record.get("provenance") == origin]


def _commit() -> str:
    """Return the checkout's commit, with ``+changes`` where files differ from it."""
    root = Path(__file__).parent.parent
    try:
        head = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run(
            ["git", "-C", root, "status", "--porcelain"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+changes" if changes.stdout.strip() else "")


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _isa() -> list[str]:
    from llvmlite import binding

    wanted = ("ssse3", "avx2", "avx512bw", "avx512vbmi", "avx512vnni", "neon", "sve")
    features = binding.get_host_cpu_features()
    return [name for name in wanted if features.get(name)]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        if name == "ipaq-index":  # run from a checkout that is not installed
            import ipaq_index

            return ipaq_index.__version__
        return "not installed"
