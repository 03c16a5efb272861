"""`whichtune reproduce`, `experiment` and `studies`: published studies, again and in full."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whichtune.cli import choices
from whichtune.cli.asked import check_folder
from whichtune.cli.dry_run import print_dry_run
from whichtune.cli.examples import epilog
from whichtune.cli.screen import console, debug_wanted, typed_command
from whichtune.errors import SettingError
from whichtune.metrics import metrics_of
from whichtune.records.events import Event
from whichtune.records.record import SPLITS, RunStatus
from whichtune.study.numbers import MOST_THREADS

if TYPE_CHECKING:
    from rich.console import Console

    from whichtune.study.spec import Study

MAIN = metrics_of("classes")[0].name  # what published tables tell of each split


def reproduce(
    study: Annotated[str, typer.Argument(help="sms-spam, imdb, ...; `whichtune studies` lists them.")],
    rows: Annotated[str | None, typer.Option(help="Rows to make, separated by commas [default: all].")] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Seeds instead of the published one, as 0,1,2 or 0-4; not the split's.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="A local copy of the data, or other data.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Make all rows on this model: embedded, a Hub id, a folder.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Make all rows with `random` weights.")] = None,
    set_: choices.Settings = None,
    plan: choices.Plan = None,
    device: choices.Device = None,
    save: choices.Save = "none",
    dry_run: choices.DryRun = False,
    out: choices.Out = None,
    replace: choices.Replace = False,
    threads: choices.Threads = None,
    jobs: choices.Jobs = None,
) -> None:
    """Run a published study again, or our answer to one, and print measured beside published."""
    from whichtune.cli.progress import Progress
    from whichtune.cli.terminal import print_reproduction
    from whichtune.expansion.asked import whole_numbers
    from whichtune.expansion.assemble import check_choice
    from whichtune.published.reproduce import reproduce as run_study
    from whichtune.published.reproduce import reproduction_study

    check_choice("--save", save, ("none", "best", "all"))
    chosen = reproduction_study(
        study,
        rows=None if rows is None else whole_numbers("--rows", rows, "1,2,10"),
        seeds=seeds,
        data=data,
        model=model,
        weights=weights,
        assignments=set_,
        plan=plan,
        device=device,
    )
    check_folder(chosen, out)
    if dry_run:
        print_dry_run(chosen, out, lenient=True, replace=replace)
        return
    screen = console()
    with Progress(screen, debug_wanted()) as progress:
        result = run_study(
            chosen,
            out,
            save=save,  # type: ignore[arg-type]
            threads=threads,
            jobs=jobs,
            on_event=progress,
            command=typed_command(),
            replace=replace,
        )
    print_reproduction(result.summary, screen)
    screen.print(
        f"{result.started} runs made. Everything is in {result.folder}", markup=False, highlight=False, soft_wrap=True
    )
    if any(run.status is not RunStatus.COMPLETED for run in result.records):
        raise typer.Exit(1)


def experiment(
    model_size: Annotated[str, typer.Option("--model_size", help="As published, or its first word.")] = (
        "gpt2-small (124M)"
    ),
    weights: Annotated[str, typer.Option("--weights", help="pretrained or random.")] = "pretrained",
    trainable_layers: Annotated[
        str,
        typer.Option(
            "--trainable_layers", help="all, last_block, last_two_blocks, last_layer, lora or lora_alternative."
        ),
    ] = "last_block",
    trainable_token_pos: Annotated[
        str, typer.Option("--trainable_token_pos", "--trainable_token", help="first, last or flexible.")
    ] = "last",
    average_embeddings: Annotated[
        bool, typer.Option("--average_embeddings", help="Average the outputs over all positions.")
    ] = False,
    context_length: Annotated[
        str,
        typer.Option("--context_length", help="longest_training_example, model_context_length or a number."),
    ] = "longest_training_example",
    lora_rank: Annotated[int, typer.Option("--lora_rank", help="Rank of LoRA's update.")] = 8,
    lora_alpha: Annotated[int, typer.Option("--lora_alpha", help="The update is multiplied by it.")] = 8,
    no_padding: Annotated[bool, typer.Option("--no_padding", help="Each text alone; needs --batch_size 1.")] = False,
    num_epochs: Annotated[int, typer.Option("--num_epochs", help="Passes over the training split.")] = 5,
    batch_size: Annotated[int, typer.Option("--batch_size", help="Texts in one forward pass.")] = 8,
    accumulation_steps: Annotated[int, typer.Option("--accumulation_steps", help="Batches in one optimiser step.")] = 1,
    disable_causal_mask: Annotated[
        bool, typer.Option("--disable_causal_mask", help="Let tokens see later ones.")
    ] = False,
    ignore_index: Annotated[
        int, typer.Option("--ignore_index", help="Taken, and without effect, as in the script.")
    ] = -100,
    model: Annotated[str | None, typer.Option(help="A folder or Hub id instead of --model_size.")] = None,
    data: Annotated[str, typer.Option(help="A local copy of the data, or other data.")] = "sms_spam",
    seed: Annotated[int, typer.Option(help="The published seed is 123.")] = 123,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="The run's folder [default: whichtune-experiment].")] = None,
    replace: choices.Replace = False,
    threads: Annotated[
        int | None, typer.Option(min=1, max=MOST_THREADS, help="CPU threads [default: torch's choice].")
    ] = None,
) -> None:
    """Make one run by the published script's flags."""
    from whichtune.compare import compare
    from whichtune.published.experiment import NO_LABEL, Flags, experiment_study, final_lines, loss_line

    flags = Flags(
        model_size=model_size,
        weights=weights,
        trainable_layers=trainable_layers,
        trainable_token_pos=trainable_token_pos,
        average_embeddings=average_embeddings,
        context_length=context_length,
        lora_rank=lora_rank,
        lora_alpha=lora_alpha,
        no_padding=no_padding,
        num_epochs=num_epochs,
        batch_size=batch_size,
        accumulation_steps=accumulation_steps,
        disable_causal_mask=disable_causal_mask,
        ignore_index=ignore_index,
        model=model,
        data=data,
        seed=seed,
        device=device,
    )
    screen = console()
    if ignore_index != NO_LABEL:
        said = f"--ignore_index {ignore_index} changes nothing: the published script never passes it to its training."
        screen.print(said, markup=False, highlight=False, soft_wrap=True)

    def tell(event: Event) -> None:
        line = loss_line(event)
        if line is not None:
            screen.print(line, markup=False, highlight=False, soft_wrap=True)
        elif event["event"] == "traceback" and debug_wanted():
            screen.print(event["text"], markup=False, highlight=False, soft_wrap=True)

    study = experiment_study(flags)
    check_folder(study, out)
    result = compare(study, out, save="none", threads=threads, on_event=tell, command=typed_command(), replace=replace)
    run = result.records[0]
    if run.status is not RunStatus.COMPLETED:
        screen.print(f"The run failed: {run.error}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1)
    if not result.started:
        screen.print(f"This run is already in {result.folder}.", markup=False, highlight=False, soft_wrap=True)
    for line in final_lines(run):
        screen.print(line, markup=False, highlight=False, soft_wrap=True)


def studies(
    name: Annotated[str | None, typer.Argument(help="A study, in full.")] = None,
    row: Annotated[int | None, typer.Option(help="One row, with every setting.")] = None,
    check: Annotated[bool, typer.Option("--check", help="What the published counts can show by themselves.")] = False,
) -> None:
    """List the package's studies, or show one: its rows, one row in full, or a check of what was published."""
    import yaml

    from whichtune.cli.terminal import print_lines
    from whichtune.published.presets import load_preset, preset_names, row_in_full

    screen = console()
    if name is None:
        if row is not None or check:
            raise SettingError("Name the study: whichtune studies NAME --row N, or --check.")
        rows = [[each, *_study_line(load_preset(each))] for each in preset_names()]
        print_lines(["study", "runs", "seeds", "data", "published"], rows, screen, left=5)
        print("whichtune studies NAME shows one; whichtune reproduce NAME runs it.")
        return
    study = load_preset(name)
    if check:
        _print_check(name, screen)
    elif row is not None:
        print(yaml.safe_dump(row_in_full(study, row), sort_keys=False, allow_unicode=True, width=120), end="")
    else:
        _print_study(study, screen)


def _study_line(study: Study) -> list[str]:
    from whichtune.report.published import read_published

    published = read_published(study.published, MAIN)
    seeds = ", ".join(map(str, study.seeds))
    source = published.source if published is not None else ""
    return [str(len(study.runs) + len(study.methods)), seeds, study.data.source, source]


def _print_study(study: Study, screen: Console) -> None:
    from whichtune.cli.terminal import print_lines
    from whichtune.published.presets import pair_line, rows_of
    from whichtune.report.published import read_published

    published = read_published(study.published, MAIN)
    keys = (*(f"{split}_{MAIN}" for split in SPLITS), "train_minutes")
    rows = []
    for number, entry in rows_of(study).items():
        own = ", ".join(f"{key}={value}" for key, value in entry.settings.items())
        facts = published.rows.get(str(entry.label)) if published is not None else None
        figures = facts.figures if facts is not None else {}
        shown = [f"{figures[key]:.2f}" if key in figures else "" for key in keys]
        rows.append([str(number), str(entry.label), entry.method, own, *shown])
    printed = any(any(row[4:]) for row in rows)
    header = ["row", "label", "method", "own settings", "train %", "validation %", "test %", "minutes"]
    wanted = len(header) if printed else 4
    print_lines(header[:wanted], [row[:wanted] for row in rows], screen, left=4)
    shared = ", ".join(f"{key}={value}" for key, value in study.settings.items())
    lines = [f"All rows: model {study.model}, data {study.data.source}, {shared}"]
    lines += [pair_line(pair) for pair in study.pairs]
    for line in lines:
        screen.print(line, markup=False, highlight=False, soft_wrap=True)


def _print_check(name: str, screen: Console) -> None:
    from whichtune.cli.terminal import print_lines
    from whichtune.published.claims import check_published

    found = check_published(name)
    print_lines(*found.row_table(), screen)
    print_lines(*found.claim_table(), screen)
    for line in [found.summary, *found.notes, f"Published: {', '.join(filter(None, (found.source, found.url)))}"]:
        screen.print(line, markup=False, highlight=False, soft_wrap=True)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (reproduce, experiment, studies):
        app.command(epilog=epilog(command.__name__))(command)
