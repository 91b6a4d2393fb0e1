"""The page of examples/browser in Chromium: its run, its refusals, and that it asks nobody else."""

import json
import os
import re
import shutil
import zipfile
from pathlib import Path

import chromium
import litert_js
import pytest
from native_program import flags_of
from small_runs import pocketllm

from pocketllm.runtime.bundle.checksum import write_with_checksum
from pocketllm.runtime.journal.reader import read_journal

RUN = {"steps": 6, "batch_size": 7, "seed": 5, "lr": 1e-2, "eval_every": 4}
FIELDS = {"batch_size": "batchSize", "eval_every": "evalEvery"}
# A folder for them, where somebody wants to look.
PICTURES = os.environ.get("POCKETLLM_PICTURES")
NARROW = 390


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium, its downloads in its folder."""
    chromium.needed()
    browser = chromium.Chromium(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The page, served by what sends no headers of its own."""
    served = chromium.Served(litert_js.assemble(tmp_path_factory.mktemp("site")))
    yield served
    served.close()


@pytest.fixture
def page(browser, site):
    """The page, just opened."""
    browser.problems.clear()
    browser.workers.clear()
    browser.open(site.address)
    return browser


def bundle_of(folder):
    return folder / "bundle" / "bundle.json", folder / "bundle" / "model.tflite"


def start(page, folder, **changes):
    """Chooses a folder's files, fills the fields and starts."""
    page.choose("bundle", *bundle_of(folder))
    page.choose("rows", folder / "train.rows")
    page.choose("dev", folder / "dev.rows")
    page.fill(**{FIELDS.get(name, name): value for name, value in (RUN | changes).items()})
    page.click("start")


def ended(page, word):
    page.wait(f"document.getElementById('status').innerText.startsWith('{word}')")


def download(page, folder) -> Path:
    """Downloads the run and unpacks it; returns its folder."""
    page.click("download")
    path = page.downloaded("run.zip")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
    path.unlink()
    return folder / "run"


def test_a_run_on_the_page_is_that_of_node(page, small, tmp_path):
    start(page, small)
    ended(page, "Done after 6 steps")
    run = download(page, tmp_path)

    flags = flags_of(bundle=small / "bundle", encoded=small / "train.rows", **RUN)
    done = litert_js.train(*flags, f"--dev={small / 'dev.rows'}", f"--run={tmp_path / 'node'}")
    assert done.returncode == 0, done.stderr
    for name in ("journal", "config.json", "evaluations.jsonl"):
        assert (run / name).read_bytes() == (tmp_path / "node" / name).read_bytes()
    done = pocketllm(
        "train", *flags_of(bundle=small / "bundle", train=small / "train.tsv", run=run),
        *flags_of(**RUN | {"steps": 8}), f"--dev={small / 'dev.tsv'}",
    )  # fmt: skip
    assert done.returncode == 0 and len(read_journal(run / "journal").steps) == 8
    assert page.problems == [] and page.text("error") == ""
    assert page.evaluate("document.getElementById('progress').value") == 1
    assert page.evaluate("document.querySelectorAll('#loss-chart .points circle').length") == 6
    assert page.evaluate("document.querySelectorAll('#accuracy-chart circle.dev').length") == 3


def test_a_run_stops_behind_a_step(page, small, tmp_path):
    start(page, small, steps=100000)
    page.wait("!document.getElementById('download').hidden")
    page.click("stop")
    ended(page, "Stopped after")

    steps = read_journal(download(page, tmp_path) / "journal").steps
    assert 0 < len(steps) < 100000
    assert f"Stopped after {len(steps):,} steps." == page.text("status")


def changed(folder, **values):
    path = folder / "bundle" / "bundle.json"
    write_with_checksum(path, json.loads(path.read_text()) | values)


def alter(folder):
    path = folder / "bundle" / "bundle.json"
    path.write_text(path.read_text().replace('"batch_size": 3', '"batch_size": 4'))


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


BAD = {
    "bundle.json: bundle format 3": lambda folder: changed(folder, format_version=3),
    "model.tflite: sha256": lambda folder: flip(folder / "bundle" / "model.tflite"),
    "bundle.json: its checksum is another": alter,
    "no signature 'initialize_1'": lambda folder: changed(folder, slices=2),
    "train.rows: the rows are for bundle": lambda folder: changed(folder, model_name="another"),
    "train.rows: damaged": lambda folder: flip(folder / "train.rows"),
    "dev.rows: no encoded rows": lambda f: shutil.copy(f / "dev.tsv", f / "dev.rows"),
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_file_is_one_line(text, page, small, tmp_path):
    folder = shutil.copytree(small, tmp_path / "copy")
    BAD[text](folder)

    start(page, folder)
    page.wait("!document.getElementById('error').hidden")

    assert text in page.text("error") and "\n" not in page.text("error")
    assert page.text("download") == "" and page.text("status") == "Not running."
    assert not page.evaluate("document.getElementById('start').disabled")


def test_files_that_are_not_chosen_and_fields_are_one_line(page, small):
    page.click("start")
    assert page.text("error").startswith("no bundle.json is chosen")

    page.choose("bundle", *bundle_of(small))
    page.click("start")
    assert page.text("error").startswith("no rows are chosen")

    start(page, small, lr="fast")
    page.wait("document.getElementById('error').innerText.startsWith('Learning rate')")
    assert page.text("error") == "Learning rate=fast: expected a number above 0"


def test_a_rate_that_ruins_the_parameters_is_said(page, small):
    start(page, small, lr=1e25)
    page.wait("!document.getElementById('error').hidden")

    assert page.text("error").startswith("step 2: the loss is not finite")
    assert page.text("download") == ""


def attempts(page, there, session) -> None:
    """Asks another server in every way that a page, or its worker, has."""
    page.evaluate(f"fetch('{there}').catch(() => 0)", session)
    if session:
        page.evaluate(f"try {{ importScripts('{there}') }} catch {{}}", session)
        return
    for kind, place in (("script", "src"), ("img", "src"), ("link", "href")):
        page.evaluate(
            f"new Promise((then) => {{ const e = document.createElement('{kind}');"
            f"e.rel = 'stylesheet'; e.onload = e.onerror = then; e.{place} = '{there}?{kind}';"
            "document.body.append(e) })"
        )


@pytest.fixture
def stranger(tmp_path):
    """Another server."""
    (tmp_path / "a.js").write_text("self.reached = true")
    served = chromium.Served(tmp_path)
    yield served
    served.close()


def reached(page, small, stranger, address) -> list[str]:
    """Returns what another server was asked for by the page of an address, and by its worker."""
    page.open(address)
    page.workers.clear()
    start(page, small, steps=100000)
    page.wait("!document.getElementById('download').hidden")
    for session in (None, page.workers[-1]):
        assert page.evaluate("fetch(new URL('/style.css', origin)).then((a) => a.status)", session)
        attempts(page, f"{stranger.address}a.js", session)
    page.click("stop")
    ended(page, "Stopped")
    return stranger.paths


def test_page_and_worker_reach_their_own_files_alone(page, site, small, stranger):
    assert reached(page, small, stranger, site.address) == []
    assert any("Content Security Policy" in text for text in page.problems)


def test_without_its_policy_the_page_would_reach_others(page, small, stranger, tmp_path):
    folder = litert_js.assemble(tmp_path / "open")
    text = (folder / "index.html").read_text()
    (folder / "index.html").write_text(re.sub(r"<meta http-equiv=.Content-Sec.*>\n", "", text))
    served = chromium.Served(folder)
    try:
        paths = reached(page, small, stranger, served.address)
    finally:
        served.close()
    assert len(paths) == 6 and {"/a.js?script", "/a.js?img", "/a.js?link"} < set(paths)


@pytest.mark.parametrize("width", [1200, NARROW])
def test_the_page_fits_its_window(width, browser, site, small):
    browser.open(site.address, width=width)
    start(browser, small, steps=200, eval_every=20)
    ended(browser, "Done")

    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    if PICTURES:
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
        browser.picture(Path(PICTURES) / f"page-{width}.png")
        browser.picture(Path(PICTURES) / f"page-{width}-dark.png", dark=True)
