"""The service under load: ``python -m eval.serve [--rate 200] [--seconds 20]``.

Starts the service on a data set's index in a process of its own and asks one query a request over loopback, at times of
a Poisson process: requests do not wait for one another, so a slow answer makes the next ones late, and that counts.
Latency is from the time a request was due, not from when it was sent.
"""

import argparse
import asyncio
import json
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

import ipaq_index as iq
from eval.datasets import load
from eval.provenance import provenance

MOST_REQUESTS = 20_000  # of one run, in all
CONNECTIONS = 64
START_SECONDS = 300


def main(argv: list[str] | None = None) -> int:
    """Run the load test, print the figures as JSON; return the exit code (1 where an answer is wrong or missing)."""
    parser = argparse.ArgumentParser(prog="python -m eval.serve", description="Measure the HTTP service under load.")
    parser.add_argument("--dataset", default="glove-50-unit", help="default: %(default)s")
    parser.add_argument("--vectors", type=int, help="index as many only")
    parser.add_argument("--bits", type=float, default=4, help="bits a dimension (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="threads of a search (default: %(default)s)")
    parser.add_argument("-k", type=int, default=10, help="default: %(default)s")
    arguments = parser.parse_args(argv)
    requests = int(arguments.rate * arguments.seconds)
    if not 0 < requests <= MOST_REQUESTS:
        parser.error(f"--rate, --seconds: expected 1 to {MOST_REQUESTS} requests in all, got {requests}")
    data = load(arguments.dataset, 1000, arguments.vectors, 0)
    index = iq.Index(data.train.shape[1], bits=arguments.bits, metric=data.metric).build(np.asarray(data.train))
    expected = index.search(data.queries, arguments.k)[1]
    with tempfile.TemporaryDirectory() as folder:
        key, port = secrets.token_hex(16), _free_port()
        iq.save(index, Path(folder) / "index.ipaq")
        (Path(folder) / "keys").write_text(key)
        process = _start(Path(folder), port, arguments.threads)
        try:
            figures = asyncio.run(_ask(port, key, data.queries, expected, arguments.k, arguments.rate, requests))
        finally:
            process.terminate()
            process.wait(30)
    record = {"arguments": vars(arguments), "vectors": index.ntotal, **figures, "provenance": provenance()}
    print(json.dumps(record, indent=1))
    return int(figures["failed"] + figures["wrong"] > 0)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(folder: Path, port: int, threads: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "ipaq_index.serve", str(folder / "index.ipaq")]
    command += ["--api-key-file", str(folder / "keys"), "--port", str(port), "--threads", str(threads)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    for _ in range(10 * START_SECONDS):
        try:
            httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).raise_for_status()
            return process
        except httpx.TransportError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
    process.kill()
    raise RuntimeError("the service did not start")


async def _ask(
    port: int, key: str, queries: np.ndarray, expected: np.ndarray, k: int, rate: float, requests: int
) -> dict[str, Any]:
    """Send all requests at their times; return latencies in milliseconds and counts."""
    due = np.cumsum(np.random.default_rng(0).exponential(1 / rate, requests))
    bodies = [json.dumps({"queries": [query.tolist()], "k": k}).encode() for query in queries]
    latencies: list[float] = []
    failed = wrong = 0
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}",
        headers={"X-API-Key": key, "Content-Type": "application/json"},
        limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
        timeout=30,
        trust_env=False,
    ) as client:

        async def one(number: int) -> None:
            nonlocal failed, wrong
            try:
                answer = await client.post("/v1/search", content=bodies[number % len(bodies)])
            except httpx.HTTPError:
                failed += 1
                return
            latencies.append(time.perf_counter() - begin - due[number])
            if answer.status_code != 200:
                failed += 1
            elif answer.json()["ids"][0] != expected[number % len(bodies)].tolist():
                wrong += 1

        await asyncio.gather(*(client.get("/v1/info") for _ in range(8)))  # connections open before the clock starts
        begin = time.perf_counter()
        tasks = []
        for number in range(requests):
            await asyncio.sleep(max(0.0, due[number] - (time.perf_counter() - begin)))
            tasks.append(asyncio.create_task(one(number)))
        await asyncio.gather(*tasks)
        seconds = time.perf_counter() - begin
        metrics = (await client.get("/metrics")).text
    milliseconds = 1000 * np.array(latencies)
    return {
        "requests": requests,
        "failed": failed,
        "wrong": wrong,
        "requests_per_second": requests / seconds,
        **{f"p{p}_ms": float(np.percentile(milliseconds, p)) for p in (50, 90, 99)},
        "most_ms": float(milliseconds.max()),
        "batches": _sample(metrics, "ipaq_batch_queries_count"),
        "search_seconds": _sample(metrics, "ipaq_search_seconds_sum"),
    }


def _sample(metrics: str, name: str) -> float:
    return next(float(line.split()[1]) for line in metrics.splitlines() if line.startswith(name + " "))


if __name__ == "__main__":
    sys.exit(main())
