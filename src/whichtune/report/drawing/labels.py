"""Where the names of marks go in a plot: beside their mark and across nothing else.

A name that finds no room is replaced by a key of one or two signs, which the drawing explains below; marks that lie
together share one. What finds no room beside its mark stands farther off, a thin line between them. So no mark loses
its name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from whichtune.report.drawing.scales import Anchor
from whichtune.report.drawing.text_size import ASCENT, DESCENT, text_width

Box = tuple[float, float, float, float]  # left, top, right, bottom
Leader = tuple[tuple[float, float], tuple[float, float]]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
GAP = 2.0  # between a name and all else
STEPS = (0.0, 4.0, 9.0)  # how far from its mark a name may move
TOGETHER = (18.0, 40.0, math.inf)  # how far marks that share a key may lie apart; the first that leads to an end
FARTHEST, STRIDE = 150.0, 6.0  # how far off a text may stand, and in what steps that is tried
SIGHT = 3.0  # room that a text keeps from another one's line
SIDES: tuple[tuple[float, Anchor], ...] = ((1.0, "start"), (-1.0, "end"))
NEARER = 2.0  # how much nearer another mark may be than a name's own


@dataclass(frozen=True)
class Marked:
    """A mark at `x`, `y` that reaches `reach` pixels on every side, and the name that it wants."""

    x: float
    y: float
    reach: float
    name: str

    @property
    def box(self) -> Box:
        return self.x - self.reach, self.y - self.reach, self.x + self.reach, self.y + self.reach


@dataclass(frozen=True)
class Label:
    """A text beside a mark: its baseline's end, and the room that it takes; `leader` are the ends of a line to the mark
    where it is not beside it."""

    x: float
    y: float
    anchor: Anchor
    text: str
    box: Box
    leader: Leader | None = None

    @property
    def boxes(self) -> list[Box]:
        """What it takes from those that come later."""
        return [self.box, *(_along(self.leader) if self.leader is not None else [])]


@dataclass(frozen=True)
class Labels:
    """`names` has a label or None for each mark, `keys` those that stand for marks without one. `explained` has the key
    of each such mark by its place; empty where no key at all found room. `crowded`: some marks share the key of others
    that do not lie beside them."""

    names: list[Label | None]
    keys: list[Label]
    explained: dict[int, str]
    crowded: bool = False

    @property
    def all(self) -> list[Label]:
        return [label for label in (*self.names, *self.keys) if label is not None]


def place_labels(
    marks: Sequence[Marked], frame: Box, lines: Sequence[Box] = (), by_name: int = 0, size: float = 12.0
) -> Labels:
    """A place for the name of each mark, the first ones first, else a key.

    `lines` are what upright and level lines cover. Labels stay within `frame`, and cross neither one another, nor a
    line, nor a mark. The first `by_name` marks have their name far off rather than a key near by. Where names leave no
    room for the keys of others, fewer marks have names.
    """
    fewer = sorted({len(marks), len(marks) // 2, len(marks) // 4, by_name, 0}, reverse=True)
    for together, most in product(TOGETHER, fewer):
        labels = _placed(marks, frame, lines, (min(by_name, most), most), together, size)
        if not labels.crowded:
            break
    return labels


def _placed(
    marks: Sequence[Marked], frame: Box, lines: Sequence[Box], named: tuple[int, int], together: float, size: float
) -> Labels:
    """With names for so many of the first marks, the first of them far off where they must."""
    by_name, most = named
    taken = [*(mark.box for mark in marks), *lines]
    names: list[Label | None] = [None] * len(marks)
    for place, mark in enumerate(marks[:most]):
        label = _first_free(_beside(mark, mark.name, size), [mark], marks, frame, taken)
        if label is None and place < by_name:
            label = _far_off(mark, mark.name, size, frame, taken, names)
        names[place] = label
        taken += label.boxes if label is not None else []
    left = [i for i, label in enumerate(names) if label is None]
    return _keyed(marks, _groups(marks, left, together), frame, taken, names, size)


def _keyed(
    marks: Sequence[Marked],
    groups: Sequence[list[int]],
    frame: Box,
    taken: Sequence[Box],
    names: list[Label | None],
    size: float,
) -> Labels:
    """A key for each group of marks; letters go from left to right."""
    wide = "Wi" if len(groups) <= len(LETTERS) else "W99"  # letters are bold
    taken, written = list(taken), list(names)
    placed: list[tuple[Label, list[int]]] = []
    lost: list[int] = []
    for group in groups:
        own = [marks[i] for i in group]
        spots = (label for mark in own for label in _beside(mark, wide, size))
        label = _first_free(spots, own, marks, frame, taken) or _far_off(own[0], wide, size, frame, taken, written)
        if label is None:
            lost += group
        else:
            placed.append((label, group))
            taken += label.boxes
            written.append(label)
    placed.sort(key=lambda one: (marks[one[1][0]].x, -marks[one[1][0]].y))
    keys = [replace(label, text=_letter(place)) for place, (label, _) in enumerate(placed)]
    explained = {i: key.text for key, (_, group) in zip(keys, placed, strict=True) for i in group}
    for i in lost:  # they share the nearest key
        near = min(keys, key=lambda key: _distance(key.box, marks[i]), default=None)
        explained[i] = near.text if near is not None else ""
    return Labels(names, keys, explained, crowded=bool(lost))


def _letter(place: int) -> str:
    """A to Z, a to z, A2 and so on."""
    again, at = divmod(place, len(LETTERS))
    return LETTERS[at] + (str(again + 1) if again else "")


def _groups(marks: Sequence[Marked], left: Sequence[int], together: float) -> list[list[int]]:
    """Groups of marks that lie together, from left to right."""
    groups: list[list[int]] = []
    for i in sorted(left, key=lambda i: (marks[i].x, marks[i].y)):
        near = [
            group
            for group in groups
            if all(math.dist((marks[i].x, marks[i].y), (marks[j].x, marks[j].y)) <= together for j in group)
        ]
        if near:
            near[0].append(i)
        else:
            groups.append([i])
    return groups


def _beside(mark: Marked, text: str, size: float) -> Iterator[Label]:
    """Where a text may go, from the best place to the worst: to the right, the left, above and below, then farther."""
    width = text_width(text, size)
    up, down, shift = size * ASCENT, size * DESCENT, 0.6 * size
    for step in STEPS:
        reach = mark.reach + GAP + step
        level, over, under = mark.y + 0.35 * size, mark.y - reach - down, mark.y + reach + up
        spots: list[tuple[float, float, Anchor]] = [
            (mark.x + reach, level, "start"),
            (mark.x - reach, level, "end"),
            (mark.x, over, "middle"),
            (mark.x, under, "middle"),
            *((mark.x + sign * GAP, y, anchor) for (sign, anchor), y in product(SIDES, (over, under))),
            *((mark.x - sign * mark.reach, y, anchor) for (sign, anchor), y in product(SIDES, (over, under))),
            *((mark.x + sign * reach, level + off, anchor) for (sign, anchor), off in product(SIDES, (-shift, shift))),
        ]
        for x, y, anchor in spots:
            left = x - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
            yield Label(x, y, anchor, text, (left, y - up, left + width, y + down))


def _far_off(
    mark: Marked, text: str, size: float, frame: Box, taken: Sequence[Box], written: Sequence[Label | None]
) -> Label | None:
    """The nearest place with room from which a straight line to the mark crosses no text."""
    width, up, down = text_width(text, size), size * ASCENT, size * DESCENT
    texts = [label.box for label in written if label is not None]
    steps = range(-int(FARTHEST / STRIDE), int(FARTHEST / STRIDE) + 1)
    for right, low in sorted(product(steps, steps), key=lambda step: (math.hypot(*step), step)):
        x, y = mark.x + STRIDE * right, mark.y + STRIDE * low
        side: Anchor = "start" if right >= 0 else "end"
        left = x if right >= 0 else x - width
        box = (left, y - up, left + width, y + down)
        if not (_is_inside(box, frame) and _is_free(box, taken)):
            continue
        leader = _line_to(mark, box)
        if leader is not None and all(_is_free(piece, texts) for piece in _along(leader)):
            return Label(x, y, side, text, box, leader)
    return None


def _line_to(mark: Marked, box: Box) -> Leader | None:
    """From the mark's edge to that of a box; None where there is no room for a line between them."""
    end = (min(max(mark.x, box[0] - GAP), box[2] + GAP), min(max(mark.y, box[1] - GAP), box[3] + GAP))
    long = math.dist((mark.x, mark.y), end)
    if long <= mark.reach:
        return None
    share = mark.reach / long
    return (mark.x + share * (end[0] - mark.x), mark.y + share * (end[1] - mark.y)), end


def _along(leader: Leader) -> list[Box]:
    """Small boxes that cover a slanted line."""
    (x1, y1), (x2, y2) = leader
    pieces = max(1, math.ceil(math.dist(*leader) / SIGHT))
    shares = [place / pieces for place in range(pieces + 1)]
    points = [(x1 + share * (x2 - x1), y1 + share * (y2 - y1)) for share in shares]
    return [(x - SIGHT / 2, y - SIGHT / 2, x + SIGHT / 2, y + SIGHT / 2) for x, y in points]


def _first_free(
    labels: Iterator[Label], own: Sequence[Marked], marks: Sequence[Marked], frame: Box, taken: Sequence[Box]
) -> Label | None:
    """The first that has room and is nearer to one of its own marks than to any other."""
    for label in labels:
        if _is_inside(label.box, frame) and _is_free(label.box, taken):
            nearest = min(_distance(label.box, mark) for mark in own)
            if min(_distance(label.box, mark) for mark in marks) + NEARER >= nearest:
                return label
    return None


def _distance(box: Box, mark: Marked) -> float:
    """From the edge of a box to the middle of a mark."""
    return math.hypot(max(box[0] - mark.x, 0.0, mark.x - box[2]), max(box[1] - mark.y, 0.0, mark.y - box[3]))


def _is_inside(box: Box, frame: Box) -> bool:
    return box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]


def _is_free(box: Box, taken: Sequence[Box]) -> bool:
    """Whether it overlaps none of the others. A plain loop: this is most of the time that a drawing takes."""
    left, top, right, bottom = box
    for other in taken:  # noqa: SIM110
        if left < other[2] and other[0] < right and top < other[3] and other[1] < bottom:
            return False
    return True


def line_box(a: tuple[float, float], b: tuple[float, float], width: float = 2.0) -> Box:
    """What a level or upright line of this width covers, with a little room beside it."""
    room = width / 2 + 1.0
    return min(a[0], b[0]) - room, min(a[1], b[1]) - room, max(a[0], b[0]) + room, max(a[1], b[1]) + room
