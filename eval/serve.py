"""The service under load: ``python -m eval.serve [--rate 200] [--seconds 20]``.

Starts the service on a data set's index in a process of its own and asks one query a request over loopback, at times of
a Poisson process: requests do not wait for one another, so a slow answer makes the next ones late, and that counts.
Latency is from the time a request was due, not from when it was sent.
"""

import argparse
import asyncio
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
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
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
                return process
        except OSError:
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
    answers: list[tuple[int, bytes]] = []  # query and body, looked at when the load is over
    failed = 0
    # aiohttp parses in C: httpx, in Python, takes a millisecond and more of the same two cores for each request.
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{port}",
        headers={"X-API-Key": key, "Content-Type": "application/json"},
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        timeout=aiohttp.ClientTimeout(30),
    ) as client:

        async def read(path: str) -> bytes:
            async with client.get(path) as answer:
                return await answer.read()

        async def one(number: int) -> None:
            nonlocal failed
            try:
                async with client.post("/v1/search", data=bodies[number % len(bodies)]) as answer:
                    body = await answer.read()
            except (aiohttp.ClientError, TimeoutError):
                failed += 1
                return
            latencies.append(time.perf_counter() - begin - due[number])
            if answer.status != 200:
                failed += 1
            else:
                answers.append((number % len(bodies), body))

        await asyncio.gather(*(read("/v1/info") for _ in range(8)))  # connections open before the clock starts
        begin = time.perf_counter()
        tasks = []
        for number in range(requests):
            await asyncio.sleep(max(0.0, due[number] - (time.perf_counter() - begin)))
            tasks.append(asyncio.create_task(one(number)))
        await asyncio.gather(*tasks)
        seconds = time.perf_counter() - begin
        metrics = (await read("/metrics")).decode()
    wrong = sum(json.loads(body)["ids"][0] != expected[query].tolist() for query, body in answers)
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
        "load_average": os.getloadavg()[0],  # the load test itself is about 1 of it
    }


def _sample(metrics: str, name: str) -> float:
    return next(float(line.split()[1]) for line in metrics.splitlines() if line.startswith(name + " "))


if __name__ == "__main__":
    sys.exit(main())
