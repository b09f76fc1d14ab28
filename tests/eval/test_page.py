"""The page in a browser: it draws, answers to clicks, and asks for nothing from elsewhere."""

import re
import shutil
import subprocess

import pytest

from eval import page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--window-size=1280,2000",
    "--virtual-time-budget=10000", "--enable-logging=stderr", "--v=0",
)  # fmt: skip
CLICKS = """<script>
const seen = [];
document.querySelectorAll("th")[1].click();
seen.push([...document.querySelectorAll("tbody tr td:first-child")].map(cell => cell.textContent).join());
document.querySelectorAll("#speed0 .legendtoggle")[0].dispatchEvent(new MouseEvent("mousedown", {bubbles: true}));
document.querySelectorAll("#speed0 .legendtoggle")[0].dispatchEvent(new MouseEvent("mouseup", {bubbles: true}));
setTimeout(() => {
  seen.push(document.getElementById("speed0").data.filter(trace => trace.visible === "legendonly").length);
  seen.push(performance.getEntriesByType("resource").length);
  document.title = JSON.stringify(seen);
}, 1000);
</script>"""


def record(name, family, bytes_, recall, seconds):
    nominal = [0.5, 0.6827, 0.8, 0.9, 0.95, 0.99]
    bars = {"within": nominal, "mean": 0.0, "std": 1.0, "pairs": 10}
    return {
        "name": name, "family": family, "dataset": "d <&>", "metric": "ip", "experiment": "t", "shape": [1000, 8],
        "search_threads": 1, "build_threads": 2, "bytes_per_vector": bytes_, "build_seconds": 0.0,
        "build_peak_bytes": 1e6, "recall@10": recall, "recall@100": recall, "batch_queries": 10,
        "batch_seconds": [seconds], "single_seconds": [seconds / 10], "system": name,
        "provenance": {"cpu": "c", "isa": ["avx2"], "versions": {"faiss-cpu": "1"}},
        **({"calibration": {"nominal": nominal, "random": bars, "top": bars}} if family == "ipaq" else {}),
    }  # fmt: skip


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_page_in_a_browser(tmp_path):
    records = [
        record("ipaq bits=4", "ipaq", 27, 0.9, 0.01),
        record("ipaq bits=2", "ipaq", 15, 0.7, 0.008),
        record("FAISS Flat", "FAISS Flat", 200, 1.0, 0.1),
        record("FAISS SQ4", "FAISS SQ", 25, 0.65, 0.2),
    ]
    file = tmp_path / "page.html"
    file.write_text(page.page(records).replace("</body>", CLICKS + "</body>"))
    run = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path}/profile", "--dump-dom", file.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert not re.findall(r".*CONSOLE.*", run.stderr)
    figures = re.findall(r'<div id="(\w+)0" class="js-plotly-plot"', run.stdout)
    assert figures == ["speed", "bytes", "single", "build", "bars"]
    by_bytes = "ipaq bits=2,FAISS SQ4,ipaq bits=4,FAISS Flat"
    # Sorted by the head that was clicked; one family hidden, its points and its line; nothing fetched.
    assert re.findall(r"<title>(.*?)</title>", run.stdout)[0] == f'["{by_bytes}",2,0]'
