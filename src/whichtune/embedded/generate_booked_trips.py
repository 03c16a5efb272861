"""The seeded generator of `booked_trips`: messages to a travel agency, with the entities of the trip to be booked.

    python -m whichtune.embedded.generate_booked_trips FOLDER

Words have tags of four types: who travels, from where, to where, and when. The same place is an origin in one message
and a destination in the next, some names are those of places or months too, and places, people and days that have
nothing to do with the trip have no tag: the words around decide. A fifth of the messages have no capitals. At the end
2 % of the entities of each split lose their tags, and another 2 % get the tags of another type.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from whichtune.embedded.grammar import SIZES, chance, pick, shuffled

SEED = 20240923
TYPES = ("date", "destination", "origin", "traveller")
NOISE = 0.02  # share of the entities that lose their tags, and share of those that get another type's

BOTH = ["Austin", "Charlotte", "Florence", "Jordan", "Paris", "Sydney", "Victoria"]  # people and places
FIRST = [
    *BOTH,
    *("April", "May", "June", "Anna", "Ben", "Carla", "David", "Emma", "Finn", "Grace", "Hugo", "Ines", "Jack", "Kate"),
    *("Leo", "Maria", "Nora", "Omar", "Paul", "Rosa", "Sam", "Tina"),
]
LAST = [
    *("Abbot", "Berg", "Castro", "Duarte", "Egger", "Fischer", "Garcia", "Huber", "Ito", "Jansen", "Keller", "Lindt"),
    *("Moreau", "Novak", "Okafor", "Petit", "Quinn", "Rossi", "Silva", "Tanaka", "Ulrich", "Vega", "Weber", "York"),
]
PLACES = [
    *BOTH,
    *("Athens", "Berlin", "Cairo", "Dublin", "Essen", "Faro", "Geneva", "Hamburg", "Istanbul", "Kyoto", "Lima"),
    *("Madrid", "Naples", "Oslo", "Porto", "Quebec", "Riga", "Turin", "Vienna", "Warsaw", "Zagreb"),
    *("New York", "San Jose", "Cape Town", "Buenos Aires", "St. Moritz", "The Hague", "Rio de Janeiro"),
]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = ["January", "March", "April", "May", "June", "July", "August", "October"]

# `{type}` is an entity, `[place]`, `[person]` and `[day]` are none.
TRIPS = [
    "please book a flight from {origin} to {destination} for {traveller} {when}",
    "{traveller} goes to {destination} {when} , starting in {origin}",
    "a train to {destination} from {origin} , please , for {traveller}",
    "we need two seats to {destination} {when} : {traveller} and {traveller} travel from {origin}",
    "{traveller} has to be in {destination} {when} and leaves {origin} the day before",
    "{traveller} will fly out of {origin} {when} , bound for {destination}",
    "is there a bus from {origin} that takes {traveller} to {destination} {when} ?",
    "{traveller} returns to {destination} from {origin} {when}",
    "the cheapest way {origin} - {destination} for {traveller} {when}",
    "what does a ticket to {destination} cost {when} ?",
    "how long is the ride from {origin} to {destination} ?",
    "{origin} to {destination} , {date} , one way , name on the ticket {traveller}",
    "leave {origin} {when} , reach {destination} as early as you can",
]
WHEN = ["on {date}", "before {date}", "by {date}", "on the morning of {date}", "after {date}"]
ASIDES = [
    "[person] in [place] told me about your offer",
    "I live in [place] , but that does not matter here",
    "last year we were in [place] with [person]",
    "do not book [place] , that was a mistake",
    "thank you , [person]",
    "your office in [place] is closed on [day]",
    "I wrote to [person] on [day] and heard nothing",
    "on [day] your page said that [place] is sold out",
]
_SLOT = re.compile(r"\{(\w+)\}|\[(\w+)\]")


@dataclass(frozen=True)
class Trip:
    """A sentence's words with the entities that it was made for and those that it is shipped with: first word, number
    of words, type."""

    words: tuple[str, ...]
    true: tuple[tuple[int, int, str], ...]
    entities: tuple[tuple[int, int, str], ...]

    @property
    def tags(self) -> list[str]:
        """The tags of the words as they are shipped, in IOB2."""
        return tags_of(len(self.words), self.entities)


def tags_of(words: int, entities: Sequence[tuple[int, int, str]]) -> list[str]:
    """IOB2 tags of so many words with these entities."""
    found = ["O"] * words
    for start, length, kind in entities:
        found[start : start + length] = [f"B-{kind}", *[f"I-{kind}"] * (length - 1)]
    return found


def _person(rng: random.Random) -> str:
    first = pick(rng, FIRST)
    return f"{first} {pick(rng, LAST)}" if chance(rng, 0.6) else first


def _date(rng: random.Random) -> str:
    number, month = 1 + int(rng.random() * 28), pick(rng, MONTHS)
    forms = [pick(rng, DAYS), f"{number} {month}", f"{month} {number}", f"the {number} of {month}"]
    return pick(rng, [*forms, f"next {pick(rng, DAYS)}"])


def _filled(rng: random.Random, slot: str) -> str:
    if slot in ("origin", "destination", "place"):
        return pick(rng, PLACES)
    return _person(rng) if slot in ("traveller", "person") else _date(rng)


def _clause(rng: random.Random, template: str) -> Iterator[tuple[list[str], str | None]]:
    """Pieces of a clause: words, and the type of the entity that they are, or None."""
    for piece in template.replace("{when}", pick(rng, WHEN) if chance(rng, 0.7) else "").split():
        slot = _SLOT.fullmatch(piece)
        if slot is None:
            yield [piece], None
        else:
            yield _filled(rng, slot[1] or slot[2]).split(), slot[1]


def draw(rng: random.Random) -> Trip:
    """A sentence with its entities, as both were meant."""
    clauses = [pick(rng, TRIPS)]
    if chance(rng, 0.5):
        clauses.insert(0, pick(rng, ASIDES))
    if chance(rng, 0.3):
        clauses.append(pick(rng, ASIDES))
    words: list[str] = []
    entities: list[tuple[int, int, str]] = []
    for number, clause in enumerate(clauses):
        words += ["."] if number and words[-1] != "?" else []
        for piece, kind in _clause(rng, clause):
            entities += [(len(words), len(piece), kind)] if kind else []
            words += piece
    words[0] = words[0][0].upper() + words[0][1:]
    if chance(rng, 0.2):
        words = [word.lower() for word in words]
    return Trip(tuple(words), tuple(entities), tuple(entities))


def booked_trips(seed: int = SEED, sizes: Mapping[str, int] = SIZES) -> dict[str, list[Trip]]:
    """The splits train (1,000), validation (300) and test (500), of distinct sentences.

    In each split the share of entities that lose their tags, and that of those that get another type's, is exact
    (rounded), so that whoever knows the grammar cannot know which they are.
    """
    rng = random.Random(seed)
    seen: set[tuple[str, ...]] = set()
    splits: dict[str, list[Trip]] = {}
    for split, size in sizes.items():
        drawn: list[Trip] = []
        while len(drawn) < size:
            trip = draw(rng)
            key = tuple(word.lower() for word in trip.words)
            if key not in seen:
                seen.add(key)
                drawn.append(trip)
        splits[split] = _with_noise(rng, drawn)
    return splits


def _with_noise(rng: random.Random, trips: list[Trip]) -> list[Trip]:
    every = [(place, number) for place, trip in enumerate(trips) for number in range(len(trip.true))]
    turned = round(len(every) * NOISE)
    chosen = shuffled(rng, every)[: 2 * turned]
    lost = set(chosen[:turned])
    other = {at: pick(rng, [kind for kind in TYPES if kind != trips[at[0]].true[at[1]][2]]) for at in chosen[turned:]}
    return [
        replace(
            trip,
            entities=tuple(
                (start, length, other.get((place, number), kind))
                for number, (start, length, kind) in enumerate(trip.true)
                if (place, number) not in lost
            ),
        )
        for place, trip in enumerate(trips)
    ]


def best_f1(trips: Sequence[Trip]) -> float:
    """The entity F1 of who knows the grammar, which is the best to be expected."""
    right = sum(len(set(trip.true) & set(trip.entities)) for trip in trips)
    return 2 * right / sum(len(trip.true) + len(trip.entities) for trip in trips)


def write_conll(splits: Mapping[str, Sequence[Trip]], folder: Path) -> None:
    """Each split as NAME.conll in `folder`, which is made: a word and its tag a line, empty ones between sentences."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, trips in splits.items():
        lines = ["".join(f"{word} {tag}\n" for word, tag in zip(trip.words, trip.tags, strict=True)) for trip in trips]
        (folder / f"{split}.conll").write_bytes("\n".join(lines).encode())


if __name__ == "__main__":
    write_conll(booked_trips(), Path(sys.argv[1]))
