"""The page as a file (parsed) and, where there is a Chromium, as a browser shows it."""

import base64
import http.server
import io
import itertools
import re
import shutil
import subprocess
import threading
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinytorch_course.report.charts import COLOURS
from tinytorch_course.report.gather import read_run
from tinytorch_course.report.page import make_report
from tinytorch_course.report.sources import find_sources

MOST_BYTES = 3_000_000
VOID = {"meta", "link", "img", "br"}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--allow-file-access-from-files",
    "--enable-logging=stderr",
]
# What a browser that was told to be quiet may still ask for on its own.
BROWSER_S_OWN = ("google", "gstatic", "gvt1")


class Page(HTMLParser):
    """Elements with their attributes, the text, and whether tags nest."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def report(*folders, **options):
    return make_report(find_sources(folders), data_dir=None, notify=lambda text: None, **options)


@pytest.fixture(scope="module")
def html(trained, torch_trained, compared):
    """A report about two runs and a comparison."""
    found = report(trained, torch_trained, compared)
    assert found.notes == []
    return found.html


def check_page(html):
    """What every report must be."""
    page = Page(html)
    assert not page.open
    assert len(html.encode()) < MOST_BYTES
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data"):
            address = attributes.get(name) or ""
            assert address.startswith(("data:", "#")) or not address, (tag, name, address[:80])
        assert "on" not in {name[:2] for name in attributes if name}, attributes
    assert not page.all("script")
    assert not re.search(r"url\(|@import", html)
    for image in [*page.all("img"), *page.all("image")]:
        uri = image.get("src") or image["href"]
        picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2], validate=True)))
        picture.load()
        assert min(picture.size) > 0
    assert all(image["alt"].strip() for image in page.all("img"))
    for svg in page.all("svg"):
        assert svg.get("aria-hidden") == "true" or (svg["role"] == "img" and svg["aria-label"].strip())
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"][1:] for link in page.all("a")} <= set(ids)
    return page


def test_all_sections_are_there(html):
    page = check_page(html)
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    parts = ("confusion", "classes", "calibration", "mistakes", "filters", "activations", "gradients", "weights")
    assert {f"run-{number}-{part}" for number in (1, 2) for part in parts} <= ids
    assert {"runs", "curves", "steps-1", "configuration", "environment"} <= ids
    pictures = [svg["aria-label"] for svg in page.all("svg") if "aria-label" in svg]
    for words in ("Loss by epoch", "Accuracy (%) by epoch", "Learning rate by epoch", "Norm of the gradient of"):
        assert sum(label.startswith(words) for label in pictures) == 1, words
    for words in ("Reliability diagram", "Histogram of fc2.weight", "Divergence timeline"):
        assert any(label.startswith(words) for label in pictures), words
    assert html.startswith("<!doctype html>")
    assert "prefers-color-scheme: dark" in html
    assert "width=device-width" in html


def test_the_numbers_are_the_run_s(html, trained, torch_trained):
    text = Page(html).text
    for path in (trained, torch_trained):
        run = read_run(path, "one")
        assert f"{100 * run.result['test_accuracy']:.2f} %" in text
        assert f"{run.result['parameters']:,}" in text
        assert run.versions["torch"] in text
    settings = "--model mlp-16 --data digits --epochs 3 --batch-size 32 --dtype float64 --limit 64"
    assert f"tinytorch train --impl torch {settings}" in text


def test_settings_that_differ_are_marked(html):
    rows = re.findall(r'<tr( class="differs")?><th scope="row">(\w+)</th>', html)
    marked, plain = ({name for mark, name in rows if bool(mark) == wanted} for wanted in (True, False))
    assert {"impl", "model", "epochs", "dtype"} <= marked
    assert {"data", "batch_size", "seed"} <= plain


def test_a_run_that_was_stopped_has_a_report(stopped):
    found = report(stopped)
    page = check_page(found.html)
    assert "stopped or still running, after 2 of 4 epochs" in page.text
    assert "Test accuracy of the best epoch so far" in page.text
    assert found.notes == []


def test_without_its_network_a_run_still_has_its_curves(copy):
    (copy / "model.pt").unlink()
    found = report(copy)
    page = check_page(found.html)
    assert len(found.notes) == 1
    assert "has no model.pt" in found.notes[0]
    assert f"What the network does cannot be shown: {found.notes[0]}." in page.text
    assert any(svg.get("aria-label", "").startswith("Loss by epoch") for svg in page.all("svg"))
    assert any(svg.get("aria-label", "").startswith("Norm of the gradient") for svg in page.all("svg"))


def test_without_its_data_a_run_still_has_its_curves(copy):
    config = (copy / "config.toml").read_text()
    (copy / "config.toml").write_text(config.replace("limit = 64", "limit = 6400000"))
    found = report(copy)
    check_page(found.html)
    assert "--limit must be" in found.notes[0]


def test_another_result_than_the_run_s_is_told(copy):
    result = (copy / "result.json").read_text()
    (copy / "result.json").write_text(re.sub(r'"test_accuracy": [0-9.]+', '"test_accuracy": 0.99', result))
    assert (
        "The run ended with a test accuracy of 99.00 %; evaluated again for this report, it is"
        in Page(report(copy).html).text
    )


def test_comparisons_alone_have_a_report(compared, seeds):
    page = check_page(report(compared, seeds).html)
    assert "2 comparisons" in page.text
    assert "Comparison over seeds" in page.text
    assert "From scratch minus torch" in page.text


def test_several_seeds_have_a_mean(trained, copy):
    config = (copy / "config.toml").read_text()
    assert "seed = 0" in config
    (copy / "config.toml").write_text(config.replace("seed = 0", "seed = 1"))
    result = (copy / "result.json").read_text()
    (copy / "result.json").write_text(re.sub(r'"test_accuracy": [0-9.]+', '"test_accuracy": 0.5', result))
    ours = read_run(trained, "one").result["test_accuracy"]
    text = check_page(report(trained, copy).html).text
    mean, deviation = 100 * (ours + 0.5) / 2, 100 * abs(ours - 0.5) / 2**0.5
    assert f"is {mean:.2f} %, with a standard deviation of {deviation:.2f} percentage points" in text


def test_names_cannot_become_html(stopped):
    path = stopped.rename(stopped.parent / "<script>alert(1)<&")
    page = check_page(report(path).html)
    assert "<script>alert(1)<&" in page.text


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to look at the page with")


@pytest.fixture
def asked():
    """A proxy that answers nothing, and what it was asked for."""
    hosts = []

    class Proxy(http.server.BaseHTTPRequestHandler):
        def refuse(self):
            hosts.append(self.path)
            self.send_error(502)

        do_GET = do_CONNECT = do_POST = do_HEAD = refuse

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], hosts
    server.shutdown()
    server.server_close()


def browse(page: Path, port: int) -> tuple[str, list[str]]:
    """What a browser makes of a file, and what it complained of."""
    command = [
        CHROMIUM,
        *QUIET,
        f"--user-data-dir={page.parent / 'profile'}",
        f"--proxy-server=http://127.0.0.1:{port}",
        "--proxy-bypass-list=<-loopback>",
        "--window-size=1280,900",
        "--dump-dom",
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


# A page around the report, as wide as a phone or a desktop, which writes down what it finds.
LOOKING = """<!doctype html><pre id="found"></pre>{extra}
<iframe id="frame" src="{name}" style="width:{width}px;height:900px;border:0"></iframe>
<script>
document.getElementById("frame").addEventListener("load", event => {{
  const page = event.target.contentDocument, root = page.documentElement;
  const pictures = [...page.querySelectorAll("img")];
  document.getElementById("found").textContent = [
    "overflow", root.scrollWidth - root.clientWidth,
    "pictures", pictures.length,
    "broken", pictures.filter(picture => !picture.naturalWidth).length,
    "unseen", [...page.querySelectorAll("svg[role=img], img")].filter(
      picture => !picture.closest("details") && picture.getBoundingClientRect().width < 20).length,
  ].join(" ");
}});
</script>"""


@needs_chromium
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it_whole_and_fetches_nothing(html, tmp_path, asked, width):
    (tmp_path / "report.html").write_text(html, encoding="utf-8")
    (tmp_path / "look.html").write_text(LOOKING.format(name="report.html", width=width, extra=""))
    dom, complaints = browse(tmp_path / "look.html", asked[0])
    found = re.search(r"overflow (-?\d+) pictures (\d+) broken (\d+) unseen (\d+)", dom)
    assert found, dom[:300]
    assert int(found[2]) == len(Page(html).all("img")) > 0
    assert [int(found[each]) for each in (1, 3, 4)] == [0, 0, 0]
    assert complaints == []
    assert [host for host in asked[1] if not any(own in host for own in BROWSER_S_OWN)] == []


@needs_chromium
def test_the_browser_s_eyes_are_open(tmp_path, asked):
    """The test above would see a broken picture, an overflow, an error and a request."""
    (tmp_path / "bad.html").write_text('<img src="data:image/png;base64,AAAA"><div style="width:2000px">wide</div>')
    extra = '<img src="http://pictures.invalid/one.png"><script>undefinedFunction()</script>'
    (tmp_path / "look.html").write_text(LOOKING.format(name="bad.html", width=390, extra=extra))
    dom, complaints = browse(tmp_path / "look.html", asked[0])
    found = re.search(r"overflow (-?\d+) pictures (\d+) broken (\d+)", dom)
    assert int(found[1]) > 1000
    assert (found[2], found[3]) == ("1", "1")
    assert any("undefinedFunction" in line for line in complaints)
    assert any("pictures.invalid" in host for host in asked[1])


STYLE = (Path(__file__).parents[2] / "tinytorch_course" / "report" / "style.css").read_text(encoding="utf-8")
# How linear RGB looks without one kind of cone: Machado, Oliveira, Fernandes (2009), severity 1.0.
VISIONS = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def palettes():
    """The named colours in linear RGB, in light and in dark."""

    def linear(colour):
        share = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
        return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)

    for block in re.findall(r":root \{([^}]*)\}", STYLE):
        yield {name: linear(colour) for name, colour in re.findall(r"--(\w+): (#[0-9a-f]{6})", block)}


def test_colours_are_readable():
    """Text on its ground has WCAG's contrast of 4.5, lines 3, in light and in dark."""
    for palette in palettes():
        luminance = {name: TO_XYZ[1] @ colour for name, colour in palette.items()}
        for ground in ("page", "card"):
            for name in palette.keys() - {"page", "card", "rule", "area"}:
                bright, dim = sorted((luminance[name], luminance[ground]), reverse=True)
                wanted = 4.5 if name in ("ink", "soft", "right") else 3
                assert (bright + 0.05) / (dim + 0.05) >= wanted, (name, ground)


def test_every_kind_of_colour_vision_tells_the_lines_apart():
    """Any two colours of lines differ by 25 in CIELAB (1976), where 2 can just be seen."""

    def lab(colour):
        x, y, z = (TO_XYZ @ colour.clip(0, 1)) / TO_XYZ.sum(axis=1)
        x, y, z = (np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z))
        return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])

    for palette in palettes():
        for vision, matrix in VISIONS.items():
            seen = {name: lab(matrix @ palette[name]) for name in palette}
            lines = [f"c{number}" for number in range(COLOURS)]
            for one, other in [*itertools.combinations(lines, 2), ("right", "wrong")]:
                assert np.linalg.norm(seen[one] - seen[other]) > 25, (vision, one, other)
