"""The page in real Chromium: no network, no error, sorting, the cost switch, hostile text, accessibility.

Needs Chromium (`apt-get install chromium`, or CHROMIUM=/path/to/it), and npm for axe-core, which is
fetched once into the user's cache. Each is skipped with its reason where it is missing.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from report.made_studies import ALL, HOSTILE
from whichtune.records.store import StudyFolder
from whichtune.report.drawing.canvas import width_of

pytestmark = pytest.mark.browser

AXE = "axe-core@4.10.3"
OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
WIDTHS = {"desktop": 1280, "phone": 360}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.skip("Chromium is not installed: apt-get install chromium, or set CHROMIUM to its path")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=found, args=OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core, fetched by npm once."""
    place = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "whichtune-tests" / AXE.replace("@", "-")
    script = place / "node_modules" / "axe-core" / "axe.min.js"
    if not script.is_file():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm is not installed, and axe-core is not in the cache")
        place.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [npm, "install", "--no-save", "--ignore-scripts", "--prefix", str(place), AXE],
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            pytest.skip(f"npm could not fetch axe-core: {done.stderr.strip()[-200:]}")
    return script.read_text(encoding="utf-8")


class Opened:
    """A page with everything it asked for and complained of."""

    def __init__(self, browser: Any, folder: StudyFolder, width: int = 1280, **context: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, **context)
        self.page = self.context.new_page()
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.url = (folder.path / "report.html").as_uri()
        self.page.goto(self.url)

    @property
    def requests(self) -> list[str]:
        """What was asked for beside the page itself and what stands in it."""
        return [url for url in self.asked if url != self.url and not url.startswith("data:")]


@pytest.fixture
def opened(browser: Any, made: Callable[[str], StudyFolder]) -> Iterator[Callable[..., Opened]]:
    pages: list[Opened] = []

    def get(name: str, width: int = 1280, **context: Any) -> Opened:
        pages.append(Opened(browser, made(name), width, **context))
        return pages[-1]

    yield get
    for page in pages:
        page.context.close()


MEASURE = """() => [...document.querySelectorAll("main svg text")].map((text) => {
  const box = text.getBBox(), view = text.ownerSVGElement.viewBox.baseVal;
  return {
    text: text.lastChild.textContent, look: text.getAttribute("class") || "", long: text.getComputedTextLength(),
    left: box.x, right: box.x + box.width, base: Number(text.getAttribute("y")), turned: text.hasAttribute("transform"),
    svg: [...document.querySelectorAll("main svg")].indexOf(text.ownerSVGElement), width: view.width,
  };
})"""


@pytest.mark.parametrize("name", ["ordinary", "searched", "hundred_runs", "many_tongues", "hostile"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=list(WIDTHS))
def test_texts_of_drawings_are_no_longer_than_was_reckoned_with(opened, name, width):
    """In the reader's font: none is cut, and those on one line keep apart."""
    page = opened(name, width).page
    page.add_style_tag(content=".chosen, .wide, .narrow { display: block !important; }")
    texts = [found for found in page.evaluate(MEASURE) if found["long"] > 0]
    assert len(texts) > 50
    lines: dict[tuple[int, float], list[tuple[float, float]]] = {}
    for found in texts:
        assert found["long"] <= width_of(found["text"], found["look"]) + 0.5, found
        if not found["turned"]:
            assert found["left"] >= -0.5, found
            assert found["right"] <= found["width"] + 0.5, found
            lines.setdefault((found["svg"], found["base"]), []).append((found["left"], found["right"]))
    for ends in lines.values():
        for (_, right), (left, _) in pairwise(sorted(ends)):
            assert right <= left + 0.5


@pytest.mark.parametrize("name", sorted(ALL))
@pytest.mark.parametrize("width", WIDTHS.values(), ids=list(WIDTHS))
def test_loads_without_network_or_error_and_never_scrolls_sideways(opened, name, width):
    page = opened(name, width)
    page.page.wait_for_load_state("networkidle")
    assert page.requests == []
    assert page.complaints == []
    assert page.page.evaluate("document.documentElement.scrollWidth") <= width


NAMES = "#table table.main tbody:not([hidden]) tr:not([hidden]) .name"


def test_sorts_by_mouse_and_by_keyboard(opened):
    page = opened("ordinary").page
    head = page.locator("#table table.main thead th", has_text="test accuracy %")
    names = lambda: page.locator(NAMES).all_inner_texts()  # noqa: E731
    original = names()
    assert sorted(original) == sorted(["head_only", "last_block", "lora", "full", "tfidf_char"])
    assert original[-1] == "tfidf_char"  # without a language model, and not recommended
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    accuracies = page.locator('#table table.main td[data-key="test-accuracy-%"]').evaluate_all(
        "cells => cells.map(cell => Number(cell.dataset.sort))"
    )
    assert accuracies == sorted(accuracies, reverse=True)
    assert names()[-1] == "head_only"
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert page.locator(NAMES).first.inner_text() == "head_only"
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") is None
    assert names() == original


def test_columns_are_picked_rows_filtered_and_both_downloaded(opened, tmp_path):
    page = opened("ordinary").page
    validation = page.locator('#table th[data-key="validation-accuracy-%"]')
    assert not validation.is_visible()
    page.locator("#table .picker summary").click()
    page.get_by_label("validation accuracy %").check()
    assert validation.is_visible()
    page.locator("#table .filter").fill("lo")
    assert page.locator("#table .told").inner_text() == "2 of 5 rows"
    assert sorted(page.locator(NAMES).all_inner_texts()) == ["last_block", "lora"]
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV of what is shown").click()
    download.value.save_as(tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["run"] for row in rows) == ["last_block", "lora"]
    assert all(0 < float(row["validation accuracy %"]) <= 1 for row in rows)  # unrounded, as recorded
    assert "GFLOP" not in rows[0]


def test_prices_follow_what_is_typed(opened):
    page = opened("ordinary").page
    price = lambda: page.locator("#price tbody tr", has_text="lora").locator("td.m").inner_text()  # noqa: E731
    assert price() == "–"
    page.locator("#price .hourly").fill("3600")
    once = float(price())
    assert once > 1
    page.locator("#price .hourly").fill("7200")
    assert abs(float(price()) / once - 2) < 0.01
    assert "The whole study took" in page.locator("#price .study").inner_text()
    used = page.locator("#price tbody tr", has_text="lora").locator("td.u")
    before = float(used.inner_text())
    page.locator("#price .monthly").fill("2000000")
    assert abs(float(used.inner_text()) / before - 2) < 0.05


def test_a_figure_of_the_decision_leads_to_where_it_comes_from(opened):
    page = opened("ordinary").page
    derivation = page.locator("#derivation")
    assert derivation.get_attribute("open") is None
    page.locator(".sure a").click()
    assert derivation.get_attribute("open") is not None
    page.locator(".use a").click()
    target = page.evaluate("document.querySelector(':target .name').textContent")
    assert target == page.locator(".use a").inner_text()


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)], ids=["desktop", "phone"])
@pytest.mark.parametrize("name", ["ordinary", "one_run", "many_tongues"])
def test_the_decision_is_on_the_first_screen(opened, name, width, height):
    page = opened(name, width).page
    page.set_viewport_size({"width": width, "height": height})
    for place in (".use", ".score", ".why", ".sure", ".short > div:last-child"):
        box = page.locator(place).first.bounding_box()
        assert box["y"] + box["height"] <= height, place


def test_names_are_broken_between_words_alone_and_the_table_fits(opened):
    page = opened("ordinary").page
    region, table = (page.locator(f"#table {one}").first.bounding_box() for one in (".scroll", "table.main"))
    assert table["width"] <= region["width"] + 1
    broken = page.evaluate(
        """() => [...document.querySelectorAll('#table .name')].flatMap(name => [...name.childNodes].filter(one => {
          const range = document.createRange(); range.selectNodeContents(one);
          return one.nodeType === 3 && range.getClientRects().length > 1; }).map(one => one.textContent))"""
    )
    assert broken == []


def test_copies_the_command(opened):
    page = opened("ordinary", permissions=["clipboard-read", "clipboard-write"]).page
    button = page.locator("#record button.copy").first
    button.click()
    said = button.inner_text()
    assert said in ("Copied", "Press Ctrl-C")
    marked = page.evaluate("getSelection().toString()")
    assert said == "Copied" or "whichtune compare" in marked


def test_prints_on_two_pages(opened, tmp_path):
    page = opened("ordinary").page
    page.pdf(path=str(tmp_path / "page.pdf"), format="A4")
    assert (tmp_path / "page.pdf").read_bytes().count(b"/Type /Page\n") <= 2


def test_switches_the_cost_axis_by_mouse_and_by_keyboard(opened):
    page = opened("ordinary").page
    shown = lambda: page.locator("#costs .chosen:visible").evaluate_all("all => all.map(x => x.dataset.cost)")  # noqa: E731
    assert shown() == ["training_seconds"]
    page.locator("#costs label", has_text="Trainable parameters").click()
    assert shown() == ["trainable_parameters"]
    assert "Trainable parameters" in page.locator("#costs .chosen:visible svg:visible").text_content()
    page.keyboard.press("ArrowRight")
    assert shown() == ["inference_ms"]


def test_works_without_script(opened):
    page = opened("ordinary", java_script_enabled=False).page
    assert page.locator("#table table.main thead button").count() == 0
    assert page.locator("#table table.main tbody tr").count() == 5
    page.locator("#costs label", has_text="Peak memory").click()
    assert page.locator("#costs .chosen:visible").get_attribute("data-cost") == "peak_memory_bytes"


def test_a_hostile_message_is_shown_as_text(opened):
    opened_page = opened("hostile")
    page = opened_page.page
    page.wait_for_load_state("networkidle")
    assert page.title() == " ".join(f"{HOSTILE}: whichtune report".split())
    reason = page.locator(".reason").inner_text()
    assert reason == HOSTILE
    assert page.locator("script").count() == 1
    assert opened_page.complaints == []


def test_a_script_that_slipped_in_would_not_run(opened, made, tmp_path):
    """The page's own policy allows its one script and no other."""
    source = (made("ordinary").path / "report.html").read_text(encoding="utf-8")
    broken = source.replace("<main", "<script>document.title='owned'</script><main", 1)
    (tmp_path / "report.html").write_text(broken, encoding="utf-8")
    page = opened("ordinary").page
    page.goto((tmp_path / "report.html").as_uri())
    assert page.title() != "owned"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=list(WIDTHS))
@pytest.mark.parametrize("name", ["ordinary", "hostile", "thirty_classes", "only_failures", "many_tongues"])
def test_axe_finds_nothing_serious(opened, axe, name, width, scheme):
    page = opened(name, width, color_scheme=scheme, bypass_csp=True).page
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    serious = [f for f in found if f["impact"] in ("serious", "critical")]
    assert not serious, [(f["id"], [node["html"][:200] for node in f["nodes"][:3]]) for f in serious]


def test_dark_mode_and_print_change_the_ground(opened):
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = opened("ordinary", color_scheme="dark").page
    light = opened("ordinary", color_scheme="light").page
    assert dark.evaluate(ground) != light.evaluate(ground)
    dark.emulate_media(media="print")
    assert dark.evaluate(ground) == "rgb(255, 255, 255)"
    assert not dark.locator("nav").is_visible()


def test_focus_is_visible_and_reaches_every_control(opened):
    page = opened("ordinary").page
    seen = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        state = page.evaluate(
            "(() => { const e = document.activeElement; const s = getComputedStyle(e);"
            " const l = e.matches('.choice') ? getComputedStyle(e.nextElementSibling) : s;"
            " return [e.tagName, e.className, l.outlineStyle, e.textContent.trim().slice(0, 20)]; })()"
        )
        if state[0] == "BODY":
            break
        assert state[2] != "none", state
        seen.add(state[0])
    assert {"A", "BUTTON", "INPUT", "SUMMARY", "DIV"} <= seen
