"""Downloads against a server on the loopback: whole, continued, cut short, damaged, absent."""

import hashlib
import http.server
import threading

import pytest

from eval.datasets import download

CONTENT = bytes(range(256)) * 4000
SHA = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT, ranges too; the path says what goes wrong."""

    def do_GET(self):
        if self.path == "/none":
            self.send_error(404)
            return
        first = int(self.headers["Range"][6:-1]) if "Range" in self.headers else 0
        self.server.asked.append(first)
        if first >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(CONTENT) - first))
        if self.path == "/wrong":
            self.send_header("X-Linked-ETag", f'"{"0" * 64}"')
        if self.path == "/hub":
            self.send_header("X-Linked-ETag", f'"{SHA}"')
        self.end_headers()
        body = CONTENT[first:]
        self.wfile.write(body[: len(body) // 2] if self.path == "/cut" else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.asked = []
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def url(server, path):
    return f"http://127.0.0.1:{server.server_port}{path}"


def test_whole_file_once_with_progress(server, tmp_path):
    seen = []
    target = tmp_path / "data" / "a.bin"
    assert download.fetch(url(server, "/hub"), target, progress=lambda *v: seen.append(v)) == target
    assert target.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert sorted(p.name for p in target.parent.iterdir()) == ["a.bin", "a.bin.sha256"]
    download.fetch(url(server, "/hub"), target)
    assert server.asked == [0]


def test_goes_on_where_it_stopped(server, tmp_path):
    target = tmp_path / "a.bin"
    with pytest.raises(download.DownloadError, match=r"connection ended|bytes are kept"):
        download.fetch(url(server, "/cut"), target)
    kept = (tmp_path / "a.bin.part").stat().st_size
    assert 0 < kept < len(CONTENT)
    download.fetch(url(server, "/a"), target, sha256=SHA)
    assert target.read_bytes() == CONTENT
    assert server.asked == [0, kept]


def test_a_part_that_is_whole_is_only_checked(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    assert download.fetch(url(server, "/a"), tmp_path / "a.bin", sha256=SHA).read_bytes() == CONTENT


def test_damage_is_found(server, tmp_path):
    for path, sha in (("/wrong", ""), ("/a", "1" * 64)):
        with pytest.raises(download.DownloadError, match="expected SHA-256"):
            download.fetch(url(server, path), tmp_path / "a.bin", sha256=sha)
        assert list(tmp_path.iterdir()) == []
    target = download.fetch(url(server, "/a"), tmp_path / "a.bin")
    download.verify(target)
    target.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(download.DownloadError, match="expected SHA-256"):
        download.verify(target)


def test_absent_file_says_what_to_put_where(server, tmp_path):
    target = tmp_path / "a.bin"
    with pytest.raises(download.DownloadError, match=r"a\.bin is missing and could not be downloaded.*by hand"):
        download.fetch(url(server, "/none"), target)
    port = server.server_port
    server.shutdown()
    server.server_close()
    with pytest.raises(download.DownloadError, match=rf"by hand; it comes from http://127\.0\.0\.1:{port}/a"):
        download.fetch(f"http://127.0.0.1:{port}/a", target)
