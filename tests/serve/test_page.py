"""The page to try texts on, in real Chromium: no network but the server, no complaint, keyboard, phone, dark, axe.

Needs what tests/report/test_browser.py needs, and skips with the reason where it is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from made_tags import tags_file
from report.test_browser import WIDTHS, axe, browser
from serve.running import Running, running
from whichtune.compare import compare
from whichtune.handover.serve.rows import Served, load, pick
from whichtune.records.store import StudyFolder
from whichtune.study.load import parse_study

pytestmark = pytest.mark.browser
__all__ = ["axe", "browser"]  # fixtures

TOKEN = "a-long-enough-secret"


class Opened:
    """The page of a server with everything it asked for and complained of."""

    def __init__(self, browser: Any, server: Running, width: int = 1280, **context: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, **context)
        self.page = self.context.new_page()
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(server.url)

    def answer(self, text: str) -> None:
        """Type a text and wait for its answer."""
        self.page.get_by_label("A text").fill(text)
        with self.page.expect_response("**/predict"):
            self.page.keyboard.press("Control+Enter")
        self.page.locator("#send:not([disabled])").wait_for()


@pytest.fixture
def opened(browser: Any, server: Running) -> Iterator[Callable[..., Opened]]:
    pages: list[Opened] = []

    def get(width: int = 1280, to: Running = server, **context: Any) -> Opened:
        pages.append(Opened(browser, to, width, **context))
        return pages[-1]

    yield get
    for page in pages:
        page.context.close()


@pytest.mark.parametrize("width", WIDTHS.values(), ids=list(WIDTHS))
def test_it_shows_what_both_rows_answer(opened, server: Running, served: Served, width: int) -> None:
    one = opened(width)
    one.answer("you have won a prize")
    (answers,) = served.answers(["you have won a prize"])
    cards = one.page.locator("#answers article")
    assert cards.locator("h2").all_inner_texts() == served.names
    assert cards.locator(".said").all_inner_texts() == [said for said, _ in answers]
    shares = [f"{100 * share:.1f} %" for _, row in answers for share in row]
    assert cards.locator("td.share").all_inner_texts() == shares
    widths = cards.locator(".bar").evaluate_all("all => all.map(bar => parseFloat(bar.style.width))")
    assert widths == pytest.approx([100 * share for _, row in answers for share in row], abs=0.01)
    apart = answers[0][0] != answers[1][0]
    assert one.page.get_by_text("The two rows disagree.").count() == int(apart)
    for card, about, (said, _) in zip(cards.all(), server.ask("GET", "/metadata").json["rows"], answers, strict=True):
        often = card.locator(".often").inner_text()
        assert f"{100 * about['test']['accuracy']:.1f} % of {about['test_texts']} test texts" in often
        figures = about["said"][said]
        if figures["texts"]:
            assert f"{100 * figures['right'] / figures['texts']:.1f} % of the {figures['texts']}" in often
    assert one.page.evaluate("document.documentElement.scrollWidth") <= width
    assert one.complaints == []
    assert {url.removeprefix(server.url) for url in one.asked if not url.startswith("data:")} == {
        "/", "/metadata", "/predict",
    }  # fmt: skip


def test_texts_that_were_tried_come_back(opened) -> None:
    one = opened()
    for text in ("call me", "claim your prize now"):
        one.answer(text)
    tried = one.page.locator("#tried button")
    assert tried.locator(".text").all_inner_texts() == ["claim your prize now", "call me"]
    tried.nth(1).click()
    assert one.page.get_by_label("A text").input_value() == "call me"
    one.page.reload()
    assert not one.page.locator("#history").is_visible()  # of this page alone


def test_hostile_texts_are_text(opened) -> None:
    one = opened()
    one.answer("<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>")
    assert one.page.title() != "owned"
    assert one.page.locator("img, #answers script").count() == 0
    assert one.complaints == []


def test_what_is_wrong_is_said(opened, served: Served) -> None:
    one = opened()
    one.page.get_by_role("button", name="Answer").click()
    assert one.page.get_by_role("alert").inner_text() == "Write a text first."
    one.page.get_by_label("A text").fill("a " * 60_000)
    one.page.get_by_role("button", name="Answer").click()
    one.page.get_by_text("more than 100,000: cut it.").wait_for()
    one.answer("call me")
    assert not one.page.locator("#error").is_visible()
    with running(served) as other:
        lonely = opened(to=other)
        lonely.answer("call me")
    lonely.page.get_by_role("button", name="Answer").click()
    lonely.page.get_by_text("The server does not answer").wait_for()


def test_it_asks_for_the_token(opened, served: Served) -> None:
    with running(served, token=TOKEN) as secured:
        one = opened(to=secured)
        secret = one.page.get_by_label("This server asks for a token")
        secret.fill("wrong-wrong-wrong")
        one.page.keyboard.press("Enter")
        one.page.get_by_text("The token is missing or wrong").wait_for()
        secret.fill(TOKEN)
        one.page.keyboard.press("Enter")
        one.page.get_by_label("A text").wait_for()
        one.answer("call me")
        assert one.page.locator("#answers article").count() == 2


def test_one_row_has_one_card(opened, saved: StudyFolder) -> None:
    with running(load(pick(saved, "majority", None, None), remote_code=False)) as alone:
        one = opened(to=alone)
        one.answer("call me")
        assert one.page.locator("#answers article").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=list(WIDTHS))
def test_axe_finds_nothing(opened, axe: str, width: int, scheme: str) -> None:
    one = opened(width, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce")
    one.answer("you have won a prize")
    one.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    one.page.evaluate(axe)
    found = one.page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    assert not found, [(f["id"], [node["html"][:200] for node in f["nodes"][:3]]) for f in found]


def test_focus_is_visible_and_reaches_every_control(opened) -> None:
    one = opened()
    one.answer("call me")
    seen = set()
    one.page.locator("#text").focus()
    for _ in range(12):
        state = one.page.evaluate(
            "(() => { const e = document.activeElement;"
            " return [e.tagName, e.id, getComputedStyle(e).outlineStyle]; })()"
        )
        if state[0] == "BODY":
            break
        assert state[2] != "none", state
        seen.add(state[1] or state[0])
        one.page.keyboard.press("Tab")
    assert {"text", "send", "clear", "BUTTON", "SUMMARY", "A"} <= seen


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_entities_are_marked_in_the_text(opened, axe: str, tmp_path: Path, scheme: str) -> None:
    value = {"task": "tagging", "data": str(tags_file(tmp_path)), "methods": [], "baselines": ["word_tag"]}
    made = compare(parse_study(value, "people"), tmp_path / "s", save="all", threads=1, figures=False)
    served = load(pick(StudyFolder(made.folder), "word_tag", None, None), remote_code=False)
    with running(served) as server:
        one = opened(390, to=server, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce")
        one.answer("\U0001f642  <img src=x> Anna Lee lives in New York .")
        assert (
            one.page.locator(".tagged").text_content() == "\U0001f642  <img src=x> Anna LeePER lives in New YorkLOC ."
        )
        assert one.page.locator("mark").all_text_contents() == ["Anna LeePER", "New YorkLOC"]
        assert one.page.locator("#answers th").all_inner_texts() == ["Anna Lee (PER)", "New York (LOC)"]
        assert one.page.locator("img").count() == 0
        assert one.page.evaluate("document.documentElement.scrollWidth") <= 390
        one.page.evaluate(axe)
        assert not one.page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        one.answer("nothing here")
        assert one.page.get_by_text("No entity was found.").count() == 1
        assert one.complaints == []
