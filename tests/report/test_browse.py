"""The page's examples in real Chromium, on a desk and on a phone: rows side by side, filters, pages, keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from report.made_answers import many
from report.made_texts import made_texts
from report.test_browser import Opened, axe, browser  # noqa: F401 - fixtures
from whichtune.records.store import StudyFolder
from whichtune.report.write import write_report

pytestmark = pytest.mark.browser
WIDTHS = {"desktop": 1280, "phone": 390}


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StudyFolder]:
    """One of classes and one of written texts, with their pages."""
    found = {"classes": many(tmp_path_factory.mktemp("many")), "texts": made_texts(tmp_path_factory.mktemp("texts"))}
    for folder in found.values():
        write_report(folder, figures=False)
    return found


@pytest.fixture
def opened(browser: Any, studies: dict[str, StudyFolder]) -> Iterator[Callable[..., Opened]]:  # noqa: F811
    pages: list[Opened] = []

    def get(name: str = "classes", width: int = 1280, **context: Any) -> Opened:
        pages.append(Opened(browser, studies[name], width, **context))
        if context.get("java_script_enabled", True):
            pages[-1].page.wait_for_selector(".browse-results:not([hidden])")
        return pages[-1]

    yield get
    for page in pages:
        page.context.close()


@pytest.fixture(params=WIDTHS.values(), ids=list(WIDTHS))
def page(request: pytest.FixtureRequest, opened: Callable[..., Opened]) -> Iterator[Any]:
    """The section's page at both widths, which asks for nothing, complains of nothing and never scrolls sideways."""
    found = opened(width=request.param)
    yield found.page
    assert found.requests == []
    assert found.complaints == []
    assert found.page.evaluate("document.documentElement.scrollWidth") <= request.param


class Truth:
    """What was predicted, by row: the answer of most seeds."""

    def __init__(self, folder: StudyFolder) -> None:
        examples = folder.examples()
        self.labels, self.texts = examples["label"].to_numpy(), list(examples["text"])
        runs: dict[str, list[np.ndarray]] = {}
        for run in folder.read_json("summary.json")["runs"]:
            runs.setdefault(run["label"], []).append(folder.predictions(run["run_id"])["prediction"].to_numpy())
        self.runs = {label: np.stack(each) for label, each in runs.items()}

    def right(self, label: str, seed: int) -> np.ndarray:
        return self.runs[label][seed] == self.labels

    def wrong_in_all(self, *labels: str) -> int:
        return int(np.all([(self.runs[label] != self.labels).all(axis=0) for label in labels], axis=0).sum())


@pytest.fixture
def truth(studies: dict[str, StudyFolder]) -> Truth:
    return Truth(studies["classes"])


def matching(page: Any) -> int:
    """How many texts match, as it is told to whoever listens."""
    told = page.locator(".browse-count")
    assert told.get_attribute("aria-live") == "polite"
    return int(re.match(r"([\d,]+) texts? of", told.inner_text())[1])  # type: ignore[index]


def pick(page: Any, name: str, value: str) -> None:
    page.locator(f"label:has(> input[name={name}][value={value}])").click()


def choose(page: Any, **rows: str) -> None:
    for name, label in rows.items():
        page.locator(f"select[name={name.replace('_', '-')}]").select_option(label=label)


def test_any_two_rows_stand_side_by_side_by_who_is_right(page, truth):
    choose(page, row_a="row 0", row_b="row 2")
    choose(page, seed_a="seed 1", seed_b="seed 0")
    a, b = truth.right("row 0", 1), truth.right("row 2", 0)
    differ = truth.runs["row 0"][1] != truth.runs["row 2"][0]
    wanted = {"all": a | True, "differ": differ, "a": a & ~b, "b": b & ~a, "wrong": ~a & ~b, "right": a & b}
    for name, texts in wanted.items():
        pick(page, "outcome", name)
        assert matching(page) == int(texts.sum()), name
        shown = page.locator(f"label:has(> input[name=outcome][value={name}]) .n")
        assert shown.inner_text() == str(int(texts.sum()))
    pick(page, "outcome", "b")
    ids = page.locator(".cards .truth .soft").all_inner_texts()
    assert len(ids) == min(20, int(wanted["b"].sum())) > 0
    assert all(wanted["b"][int(name.removeprefix("example t"))] for name in ids)
    card = page.locator(".cards .example").first
    assert card.locator(".answer.wrong .who").inner_text() == "A row 0, seed 1"
    assert card.locator(".answer.right .who").inner_text() == "B row 2, seed 0"
    assert re.search(r"✗wrong: +class \d .*%", card.locator(".answer.wrong .what").text_content())


def test_class_confidence_and_words_narrow_the_texts_and_go_together(page, truth):
    pick(page, "outcome", "all")
    page.locator("select[name=truth]").select_option(label="class 1")
    assert matching(page) == int((truth.labels == 1).sum())
    page.locator("input[name=low]").fill("50")
    page.locator("input[name=high]").fill("90")
    some = matching(page)
    assert 0 < some < int((truth.labels == 1).sum())
    sure = page.locator(".cards .answer .what .soft").all_inner_texts()
    pairs = [[float(re.sub(r"[^\d.]", "", part)) for part in sure[i : i + 2]] for i in range(0, len(sure), 2)]
    assert all(any(50 <= part <= 90 for part in pair) for pair in pairs)
    page.locator("input[name=low]").fill("91")
    assert matching(page) == 0  # nothing is at least 91 and at most 90
    assert page.locator("input[name=high]").get_attribute("aria-invalid") == "true"
    page.get_by_role("button", name="Clear all filters").click()
    page.wait_for_function("document.querySelector('input[name=low]').value === ''")
    pick(page, "outcome", "all")
    page.locator("input[name=words]").fill("NUMBER17")
    assert matching(page) == 1
    assert "number17" in page.locator(".cards blockquote").inner_text()


def test_pages_of_twenty_by_keyboard(page):
    pick(page, "outcome", "all")
    page.locator("select[name=order]").select_option("split")
    first = page.locator(".cards .truth .soft")
    assert first.all_inner_texts() == [f"example t{i}" for i in range(20)]
    above = page.locator(".pager").first
    assert above.locator(".back").get_attribute("aria-disabled") == "true"
    above.locator(".next").focus()
    page.keyboard.press("Enter")
    assert first.all_inner_texts() == [f"example t{i}" for i in range(20, 40)]
    assert page.locator(".browse-count").inner_text() == "60 texts of 60 match. Here are 21 to 40."
    assert page.evaluate("document.activeElement.className") == "next"
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")  # there is no fourth page
    assert above.locator(".page").inner_text() == "Page 3 of 3"
    below = page.locator(".pager").last
    below.locator(".back").click()
    assert above.locator(".page").inner_text() == "Page 2 of 3"
    assert page.evaluate("document.activeElement.matches('.cards')")  # one reads on at the first of them
    page.locator("input[name=words]").fill("number")
    assert above.locator(".page").inner_text() == "Page 1 of 3"


def test_choices_are_made_by_arrow_keys_and_the_focus_is_seen(page):
    page.locator("input[name=outcome]:checked").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("input[name=outcome]:checked").get_attribute("value") == "a"
    outline = "getComputedStyle(document.activeElement.nextElementSibling).outlineStyle"
    assert page.evaluate(outline) == "solid"
    seen = []
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.name || document.activeElement.type"))
    assert seen[:8] == ["truth", "whose", "low", "high", "words", "order", "everyone", "reset"]


def test_label_suspects_with_and_without_rows_that_are_left_out(page, truth):
    pick(page, "view", "suspects")
    voices = [f"row {i}" for i in range(3)]
    assert matching(page) == truth.wrong_in_all(*voices)
    assert page.locator("select[name=row-a]").is_hidden()
    page.locator("input[name=everyone]").check()
    assert matching(page) == truth.wrong_in_all(*voices, "from nothing", "majority")
    pick(page, "view", "pair")
    choose(page, row_b="majority")
    assert page.locator("select[name=seed-b]").inner_text() == "its one run"
    page.locator("input[name=everyone]").uncheck()
    assert page.locator("select[name=row-b] option").all_inner_texts() == voices


def test_churn_is_that_of_the_row_and_names_the_seeds(page, truth):
    pick(page, "view", "churn")
    for label in ("row 1", "row 0"):
        choose(page, row_a=label)
        each = truth.runs[label]
        assert matching(page) == int((each != each[0]).any(axis=0).sum()) > 0
    card = page.locator(".cards .example").first
    place = int(card.locator(".truth .soft").inner_text().removeprefix("example t"))
    said = card.locator("dl dd").all_inner_texts()
    assert sum(len(re.findall(r"seed \d", line)) for line in said) == 3
    assert len(said) == len(set(truth.runs["row 0"][:, place]))


def test_all_rows_of_a_text_are_a_click_away(page):
    card = page.locator(".cards .example").first
    card.locator("summary").click()
    assert "row 1" in card.locator("details dl").inner_text()
    assert "majority" not in card.locator("details dl").inner_text()


def test_without_script_the_lists_stand(opened):
    page = opened(java_script_enabled=False).page
    assert page.locator("#examples form").is_hidden()
    assert page.locator("#examples .browse-results").is_hidden()
    assert page.locator("#examples .browse-static ol").first.locator("li").count() == 12
    assert page.locator("#examples details.data", has_text="Churn between seeds").is_visible()


@pytest.mark.parametrize("width", WIDTHS.values(), ids=list(WIDTHS))
def test_written_texts_stand_side_by_side_by_difference(opened, studies, width):
    found = opened("texts", width)
    page = found.page
    scores = page.locator(".cards .answer .what").all_inner_texts()
    pairs = [[float(part.split()[0]) for part in scores[i : i + 2]] for i in range(0, len(scores), 2)]
    apart = [abs(a - b) for a, b in pairs]
    assert apart == sorted(apart, reverse=True)
    assert len(pairs) == 20
    better = int(page.locator("label:has(> input[name=outcome][value=a]) .n").inner_text())
    pick(page, "outcome", "a")
    assert matching(page) == better > 0
    card = page.locator(".cards .example").first
    assert [who.strip() for who in card.locator(".who").all_inner_texts()] == ["A lora", "B full"]
    assert card.locator(".answer blockquote").first.inner_text().endswith("zebra")
    card.locator("summary").click()
    place = int(card.locator(".truth .soft").inner_text().removeprefix("example t"))
    assert card.locator("details blockquote").inner_text() == studies["texts"].examples()["text"][place]
    assert found.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=list(WIDTHS))
def test_axe_finds_nothing_serious_in_any_view(opened, axe, width, scheme):  # noqa: F811
    for name, views in (("classes", ["pair", "suspects", "churn"]), ("texts", [None])):
        page = opened(name, width, color_scheme=scheme, bypass_csp=True).page
        page.evaluate(axe)
        for view in views:
            if view is not None:
                pick(page, "view", view)
            page.evaluate("document.querySelectorAll('.browse details').forEach(one => { one.open = true; })")
            page.wait_for_timeout(50)
            run = "axe.run(document.querySelector('.browse'), {resultTypes: ['violations']})"
            serious = [f for f in page.evaluate(run)["violations"] if f["impact"] in ("serious", "critical")]
            assert not serious, [(f["id"], [node["html"][:200] for node in f["nodes"][:3]]) for f in serious]
