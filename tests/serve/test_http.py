"""The service as clients see it: a process of its own, asked over a loopback socket."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

import ipaq_index as iq

KEY = "test-key-0123456789"
X = np.random.default_rng(5).standard_normal((2_000, 16)).astype(np.float32)
ROOT = Path(__file__).parent.parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(folder, *options):
    """Start the service on a file in ``folder``; return the process and a client once it answers."""
    (folder / "keys").write_text(KEY + "\n")
    port = free_port()
    command = [sys.executable, "-m", "ipaq_index.serve", str(folder / "i.ipaq"), "--api-key-file", str(folder / "keys")]
    log = open(folder / "log", "w")  # noqa: SIM115 (the process keeps it)
    process = subprocess.Popen([*command, "--port", str(port), *options], cwd=ROOT, stdout=log, stderr=log)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"X-API-Key": KEY}, timeout=30, trust_env=False)
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError((folder / "log").read_text())
        try:
            client.get("/health").raise_for_status()
            return process, client
        except httpx.TransportError:
            time.sleep(0.1)
    process.kill()
    raise RuntimeError("the service did not start")


@pytest.fixture(scope="module")
def index():
    return iq.Index(16, bits=4).build(X)


@pytest.fixture(scope="module")
def folder(index, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    iq.save(index, folder / "i.ipaq")
    return folder


@pytest.fixture(scope="module")
def client(folder):
    process, client = start(folder, "--max-body", "100000", "--max-queries", "50", "--max-k", "100", "--threads", "1")
    try:
        yield client
    finally:
        client.close()
        process.terminate()
        assert process.wait(30) in (0, -signal.SIGTERM)


def search(client, **body):
    return client.post("/v1/search", json=body)


def test_search_gives_what_the_index_gives(client, index):
    answer = search(client, queries=X[:4].tolist(), k=7)
    assert answer.status_code == 200
    scores, ids = index.search(X[:4], 7)
    assert answer.json()["ids"] == ids.tolist()
    np.testing.assert_array_equal(np.float32(answer.json()["scores"]), scores)


def test_places_that_stay_empty_are_left_out(client):
    answer = search(client, queries=X[:2].tolist(), k=5, filter=[3, 9, 123_456]).json()
    assert [sorted(row) for row in answer["ids"]] == [[3, 9], [3, 9]]
    assert [len(row) for row in answer["scores"]] == [2, 2]


def test_a_key_is_asked_for(client):
    for path in ("/v1/search", "/v1/add", "/v1/remove", "/v1/info", "/metrics", "/nothing"):
        for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": f"Basic {KEY}"}, {"X-API-Key": KEY[:-1]}):
            answer = httpx.post(client.base_url.join(path), headers=headers, content=b"{}", trust_env=False)
            assert answer.status_code == 401, (path, headers)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert KEY not in answer.text
    bearer = httpx.get(client.base_url.join("/v1/info"), headers={"Authorization": f"Bearer {KEY}"}, trust_env=False)
    assert bearer.status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 422, "Field required"),
        (b"{", 422, "JSON"),
        (b'{"\xff": 1}', 400, "parsing the body"),
        (b"[" * 50_000, 400, "parsing the body"),
        (b"[]", 422, "valid dictionary"),
        ({}, 422, "queries"),
        ({"queries": []}, 422, "at least 1"),
        ({"queries": [[]]}, 422, "expected dimension 16, got 0"),
        ({"queries": [[1.0] * 15]}, 422, "expected dimension 16, got 15"),
        ({"queries": [[1.0] * 16, [1.0]]}, 422, "rows of different lengths"),
        ({"queries": [["a"] * 16]}, 422, "valid number"),
        (b'{"queries": [[NaN' + b", 1" * 15 + b"]]}", 422, "finite float32 values, got nan"),
        (b'{"queries": [[1e999' + b", 1" * 15 + b"]]}", 422, "finite float32 values, got inf"),
        ({"queries": [[1e39] * 16]}, 422, "finite float32 values"),
        ({"queries": [[1.0] * 16], "k": 0}, 422, "greater than or equal to 1"),
        ({"queries": [[1.0] * 16], "k": "ten"}, 422, "valid integer"),
        ({"queries": [[1.0] * 16], "k": True}, 422, "valid integer"),
        ({"queries": [[1.0] * 16], "filter": [1.5]}, 422, "valid integer"),
        ({"queries": [[1.0] * 16], "filter": [2**70]}, 422, "filter: expected"),
        ({"queries": [[1.0] * 16], "neighbours": 3}, 422, "Extra inputs are not permitted"),
        ({"queries": [[1.0] * 16], "k": 101}, 413, "k: expected at most 100, got 101"),
        ({"queries": [[1.0] * 16] * 51}, 413, "queries: expected at most 50, got 51"),
    ],
)
def test_malformed_requests_are_refused_with_the_reason(client, body, status, message):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post("/v1/search", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert message in answer.text


def test_oversize_bodies_are_refused_before_they_are_read(client):
    for content in (b" " * 100_001, (b" " * 10_000 for _ in range(11))):  # with a length, and in pieces without
        answer = client.post("/v1/search", content=content)
        assert answer.status_code == 413
        assert "body: expected at most 100000 bytes" in answer.text
    assert client.post("/v1/search", content=b" " * 100_000).status_code == 422


def test_an_announced_length_is_believed_at_once(client):
    with socket.create_connection((client.base_url.host, client.base_url.port), 10) as raw:
        raw.sendall(
            f"POST /v1/search HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Length: 99999999999\r\n\r\n".encode()
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 413")


def test_garbage_on_the_socket_is_refused(client):
    with socket.create_connection((client.base_url.host, client.base_url.port), 10) as raw:
        raw.sendall(b"\x00\x01\x02 no http\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400")
    assert client.get("/health").status_code == 200


def test_a_body_that_does_not_come_is_given_up(folder, index):
    process, client = start(folder, "--read-only", "--timeout", "3")
    try:
        assert search(client, queries=X[:1].tolist()).status_code == 200
        for path in ("/v1/add", "/v1/remove"):
            body = {"vectors": X[:1].tolist()} if path == "/v1/add" else {"ids": [1]}
            answer = client.post(path, json=body)
            assert (answer.status_code, answer.json()["detail"]) == (403, "this service is read-only")
        with socket.create_connection((client.base_url.host, client.base_url.port), 20) as raw:
            raw.sendall(
                f"POST /v1/search HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Length: 9\r\n\r\n".encode()
            )
            assert raw.recv(100).startswith(b"HTTP/1.1 408")
    finally:
        client.close()
        process.terminate()
        process.wait(30)


def test_other_methods_and_paths(client):
    assert client.get("/v1/search").status_code == 405
    assert client.get("/docs").status_code == 404
    assert client.get("/v1/../../etc/passwd").status_code == 404


def test_openapi_names_the_routes_and_their_bodies(client):
    document = httpx.get(client.base_url.join("/openapi.json"), trust_env=False).json()
    assert set(document["paths"]) == {"/v1/search", "/v1/add", "/v1/remove", "/v1/info", "/health", "/metrics"}
    assert set(document["components"]["schemas"]["SearchRequest"]["properties"]) == {
        "queries", "k", "filter", "nprobe",
    }  # fmt: skip
    schema = document["paths"]["/v1/search"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema["$ref"].endswith("/Found")


def test_info_and_metrics(client):
    info = client.get("/v1/info").json()
    assert (info["dim"], info["metric"], info["read_only"]) == (16, "ip", False)
    before = counted(client, 'ipaq_requests_total{path="/v1/search",status="200"}')
    search(client, queries=X[:3].tolist())
    client.get("/nothing-of-the-kind")
    assert counted(client, 'ipaq_requests_total{path="/v1/search",status="200"}') == before + 1
    assert counted(client, 'ipaq_requests_total{path="other",status="404"}') >= 1
    assert "nothing-of-the-kind" not in client.get("/metrics").text
    assert counted(client, "ipaq_vectors") == info["vectors"]
    assert counted(client, "ipaq_batch_queries_count") >= 1


def counted(client, name):
    """Return a sample of /metrics."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_what_was_added_is_found_and_on_disk(client, folder, index):
    held = client.get("/v1/info").json()["vectors"]
    answer = client.post("/v1/add", json={"vectors": (3 * X[:2]).tolist()}).json()
    assert answer == {"ids": [2_000, 2_001], "vectors": held + 2}
    assert search(client, queries=X[:1].tolist(), k=1).json()["ids"] == [[2_000]]
    assert iq.load(folder / "i.ipaq").ntotal == held + 2
    again = client.post("/v1/add", json={"vectors": X[:1].tolist(), "ids": [2_000]})
    assert again.status_code == 422 and "2000" in again.text
    assert client.post("/v1/remove", json={"ids": [2_000, 2_001]}).json() == {"removed": 2, "vectors": held}
    gone = client.post("/v1/remove", json={"ids": [2_000]})
    assert gone.status_code == 404 and "2000" in gone.text
    assert client.post("/v1/remove", json={"ids": [2_000], "missing": "ignore"}).json()["removed"] == 0
    assert iq.load(folder / "i.ipaq").ntotal == held


def test_many_clients_get_their_own_answers(client, index):
    expected = index.search(X[:200], 10)[1].tolist()
    before = counted(client, "ipaq_batch_queries_count")

    def ask(row):
        return search(client, queries=[X[row].tolist()], k=10).json()["ids"][0]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(200))) == expected
    assert 0 < counted(client, "ipaq_batch_queries_count") - before <= 200


@pytest.mark.parametrize("broken", ["keys", "index"])
def test_a_service_that_cannot_start_says_why(broken, folder, tmp_path):
    (tmp_path / "keys").write_text("short" if broken == "keys" else KEY)
    data = (folder / "i.ipaq").read_bytes()
    (tmp_path / "i.ipaq").write_bytes(data if broken == "keys" else data[:-100])
    command = [sys.executable, "-m", "ipaq_index.serve", tmp_path / "i.ipaq", "--api-key-file", tmp_path / "keys"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, env=os.environ)
    assert result.returncode == 2
    assert result.stderr.startswith("python -m ipaq_index.serve: ")
    assert ("api keys" if broken == "keys" else "i.ipaq") in result.stderr
