"""One drawing of each figure for the page, its SVG file and its PNG: whole, in known looks, and safe."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from importlib import resources

import numpy as np
import pytest

from report.drawn import bounds, covered, drawings, flat
from report.made_studies import ALL
from whichtune.records.store import StudyFolder
from whichtune.report.drawing.canvas import Canvas, Text
from whichtune.report.drawing.kinds import Curves, Dots, Figure, Scatter
from whichtune.report.drawing.looks import LIGHT, LOOKS, look_of, style_sheet
from whichtune.report.drawing.on_page import panels, two_sizes
from whichtune.report.drawing.png import SCALE, Painter
from whichtune.report.drawing.sheets import sheet
from whichtune.report.drawing.svg import as_file, in_page
from whichtune.report.figures import all_figures, of_kind
from whichtune.report.write import load_view

Made = Callable[[str], StudyFolder]
NAMES = sorted(ALL)


@pytest.fixture(scope="module")
def figures_of(made: Made) -> Callable[[str], list[Figure]]:
    found: dict[str, list[Figure]] = {}

    def get(name: str) -> list[Figure]:
        if name not in found:
            found[name] = all_figures(load_view(made(name)), made(name))
        return found[name]

    return get


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_drawn_beyond_the_edge_and_every_look_is_known(name, figures_of):
    for file, canvas in drawings(figures_of(name)):
        for one in covered(canvas):
            assert set(one.shape.look.split()) <= set(LOOKS), (file, one.shape)
            left, top, right, bottom = bounds(one.room)
            assert min(left, top) >= -1, (file, one.shape)
            assert right <= canvas.width + 1, (file, canvas.width, one.shape)
            assert bottom <= canvas.height + 1, (file, canvas.height, one.shape)


def test_a_file_and_the_page_hold_the_same_drawing(figures_of):
    points = re.compile(r'points="([^"]+)"')
    for figure in figures_of("ordinary"):
        whole = as_file(sheet(figure))
        if isinstance(figure, Dots | Scatter):
            drawn = [str(two_sizes(figure).wide)]
        elif isinstance(figure, Curves):
            drawn = [str(svg) for _, svg in panels(figure).drawn]
        else:
            continue
        for svg in drawn:
            assert points.findall(svg)
            assert set(points.findall(svg)) <= set(points.findall(whole))


def test_files_are_drawn_in_the_light_colours_of_the_page():
    style = (resources.files("whichtune.report") / "assets" / "page.css").read_text(encoding="utf-8")
    page = dict(re.findall(r"(--[a-z]+): (#[0-9a-f]{6});", style.split("}")[0]))
    assert {name: colour for name, colour in LIGHT.items() if name != "--paper"}.items() <= page.items()
    sheet_of_looks = style_sheet()
    assert "svg .c-run{stroke:var(--run)}" in sheet_of_looks
    assert set(re.findall(r"var\((--[a-z]+)\)", sheet_of_looks)) <= set(page)
    assert look_of("faint curve c-run train") == {
        "fill": "none", "stroke": page["--run"], "stroke-width": "1.6", "stroke-linejoin": "round",
        "stroke-dasharray": "3 3", "opacity": "0.28",
    }  # fmt: skip


def test_text_that_no_xml_can_hold_is_written_all_the_same():
    canvas = Canvas(100, 40, 'alt "<\x00>"', "dots")
    canvas.text(5, 20, "a\x1b[31m <b> & \ud800 \x00", note="\x08'\"")
    drawn = ElementTree.fromstring(as_file(canvas).encode("utf-8"))
    assert "<b> &" in "".join(drawn.itertext())
    ElementTree.fromstring(str(in_page(canvas)).encode("utf-8"))


def test_pictures_are_painted_as_they_are_described():
    canvas = Canvas(60, 40)
    canvas.rectangle(10, 10, 20, 20, "hit")
    canvas.rectangle(30, 10, 20, 20, "miss", 0.5)
    other = Canvas(5, 5)
    other.text(0, 0, "up", turn=-90)
    canvas.put(other, 58, 38)
    picture = np.asarray(Painter(canvas).paint())
    assert picture.shape == (40 * SCALE, 60 * SCALE, 4)
    at = lambda x, y: "#" + "".join(f"{n:02x}" for n in picture[SCALE * y, SCALE * x, :3])  # noqa: E731
    assert at(20, 20) == LIGHT["--plus"]
    assert at(5, 5) == "#ffffff"
    red, green, blue = picture[SCALE * 20, SCALE * 40, :3]
    assert (red, green, blue) == pytest.approx((234, 174, 127), abs=2)  # half of the way to white
    column = picture[:, SCALE * 50 + 2 :, 0]
    assert column[20 * SCALE : 38 * SCALE].min() < 100  # the text stands above its foot
    assert column[: 15 * SCALE].min() == 255


def test_curves_have_the_first_and_the_last_tick_and_a_legend(figures_of):
    (loss, *_) = of_kind(figures_of("ordinary"), Curves)
    said = [shape.text for shape, _, _ in flat(sheet(loss).shapes) if isinstance(shape, Text)]
    assert said.count("0") == said.count("3") == len(loss.panels)  # of three epochs
    assert {"train, while it was trained", "validation", "best point", "recommended", "loss (nats)"} <= set(said)
