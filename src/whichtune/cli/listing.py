"""`whichtune methods`: all of them by family, one in full, or those that go with a model."""

from __future__ import annotations

from rich.console import Console

from whichtune.baselines import BASELINES
from whichtune.cli.reference import by_family, method_card
from whichtune.cli.terminal import print_lines
from whichtune.methods import METHODS


def print_methods(console: Console) -> None:
    """Every method and baseline, a line each."""
    for family, names in by_family().items():
        rows = [[name, _rate(name), METHODS[name].card.summary, METHODS.origin(name).source] for name in names]
        console.print(f"\n{family[:1].upper()}{family[1:]}", style="bold", highlight=False)
        print_lines(["method", "learning rate", "what it does", "from"], rows, console, left=4)
    rows = [[name, baseline.card.summary, BASELINES.origin(name).source] for name, baseline in BASELINES.items()]
    print_lines(["baseline", "what it does", "from"], rows, console, left=3)
    console.print(
        "whichtune methods NAME shows a method's card and settings, whichtune methods --for MODEL those that go with a "
        "model.",
        highlight=False,
    )


def _rate(name: str) -> str:
    rate = METHODS[name].card.learning_rate
    return "" if rate is None else f"{rate:g}"


def print_method(name: str, console: Console) -> None:
    """One method's card with its settings."""
    console.print(method_card(name), markup=False, highlight=False, soft_wrap=True)


def print_methods_for(model: str, name: str | None, console: Console) -> None:
    """How the methods, or one, go with a model: what trains of it, the size of a run's file, what can be merged."""
    from whichtune.cli.methods_for import methods_for

    found = methods_for(model, name)
    rows = [
        [
            fit.method,
            "by texts" if fit.grows else f"{fit.trains:,}",
            "" if fit.grows else f"{100 * fit.share:.3g} %",
            "by texts" if fit.grows else f"{fit.megabytes:,.3g}",
            "yes" if fit.merges else "no",
            "yes" if fit.on_quantised else "no",
        ]
        for fit in found
        if fit.why_not is None
    ]
    print_lines(
        ["method", "trains", "of all", "file MB", "can be merged", "goes with quantised weights"], rows, console
    )
    for fit in found:
        if fit.why_not is not None:
            console.print(f"{fit.method}: {fit.why_not}.", highlight=False, markup=False, soft_wrap=True)
    console.print(
        "Told from the model's configuration, with each method's defaults and a head of two classes. Quantised weights "
        "are what PEFT has layers for; runs here train on weights in 32 bits.",
        highlight=False,
    )
