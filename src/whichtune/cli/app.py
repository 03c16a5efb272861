"""The command line: parsing and printing only."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from whichtune.cli import choices, demo, growing, handover, predict, published, serve
from whichtune.cli.arguments import load_plugins
from whichtune.cli.asked import check_folder, is_parser_error, parse_bytes, parser_sentence
from whichtune.cli.comparing import How, compare_and_tell
from whichtune.cli.dry_run import print_dry_run
from whichtune.cli.examples import epilog
from whichtune.cli.screen import console, debug_wanted, remember_command, safe_json, say
from whichtune.errors import WhichtuneError
from whichtune.study.numbers import jobs_of

if TYPE_CHECKING:
    from whichtune.study.spec import Study

app = typer.Typer(
    name="whichtune",
    help="Which way of fine-tuning this language model is best on my data, and what does it cost?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

INTERRUPTED = 130
demo.add_to(app)


@app.command(epilog=epilog("compare"))
def compare(
    study: choices.StudyFile = None,
    data: choices.Data = None,
    text_column: choices.TextColumn = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column of the labels; several between commas, of 0 and 1 for each label.")
    ] = None,
    label_separator: Annotated[
        str | None, typer.Option(help="What stands between several labels of one text, as ';'.")
    ] = None,
    target_column: Annotated[str | None, typer.Option(help="Column of the texts to be written.")] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="classification, multilabel, regression, tagging, summarisation or text_to_text [default: "
            "classification]."
        ),
    ] = None,
    model: choices.Model = None,
    train_sizes: Annotated[
        str | None, typer.Option(help="Numbers of training texts to cross with every row, as 50,100,200,all.")
    ] = None,
    methods: Annotated[str | None, typer.Option(help="Methods and baselines, separated by commas.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds, as 0,1,2 or 0-4.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting, key=value or METHOD.key=value; may be repeated."),
    ] = None,
    tune: Annotated[
        int | None, typer.Option(help="Try so many settings of each method on validation first, then run the best.")
    ] = None,
    tune_budget: Annotated[
        str | None,
        typer.Option(help="What each method may spend on it: 20x (default runs), 2e15flops, or 10min."),
    ] = None,
    tune_strategy: Annotated[
        str | None,
        typer.Option(help="random; or halving: more of them at that cost, the worse dropped early [default: random]."),
    ] = None,
    decide: choices.Decide = False,
    max_seeds: choices.MaxSeeds = None,
    budget: choices.Budget = None,
    require: choices.Require = None,
    price: choices.Price = None,
    power: choices.Power = None,
    cost_matrix: choices.CostMatrix = None,
    plan: choices.Plan = None,
    device: choices.Device = None,
    save: choices.Save = "best",
    dry_run: choices.DryRun = False,
    out: choices.Out = None,
    replace: choices.Replace = False,
    logger: Annotated[
        list[str] | None, typer.Option(help="Send curves and table to tensorboard or mlflow; may be repeated.")
    ] = None,
    figures: Annotated[bool, typer.Option(help="Write the report's figures as PNG and SVG files, too.")] = True,
    no_texts: choices.NoTexts = False,
    json_: Annotated[bool, typer.Option("--json", help="Print summary.json instead of the table.")] = False,
    threads: choices.Threads = None,
    jobs: choices.Jobs = None,
    cache_limit: Annotated[
        str | None,
        typer.Option(help="Disk for states of frozen blocks, as 20GB [default: a quarter of the free]."),
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option(help="What makes the runs: local, ray, or ray://HOST:PORT [default: local, this machine]."),
    ] = None,
) -> None:
    """Compare ways of fine-tuning a model on your data."""
    from whichtune.executors.base import ExecutorOptions, executor_of
    from whichtune.expansion.assemble import assemble_study, check_choice, refuse_no_data

    check_choice("--save", save, ("none", "best", "all"))
    if jobs is not None:
        jobs_of(jobs)  # refused before data and model are read
    chosen = assemble_study(
        study,
        data,
        text_column,
        label_column,
        model,
        methods,
        seeds,
        set_ or [],
        plan,
        device,
        {"draws": tune, "budget": tune_budget, "strategy": tune_strategy},
        task,
        target_column,
        {"require": require, "price": price, "power": power, "cost_matrix": cost_matrix},
        {"decide": decide, "max_seeds": max_seeds, "budget": budget},
        train_sizes,
        no_texts,
        label_separator,
    )
    limit = parse_bytes("--cache-limit", cache_limit)
    check_folder(chosen, out)
    refuse_no_data(study, data, set_ or [])
    _tell_lines_that_keep(chosen, set_ or [])
    if executor is not None:
        executor_of(executor, ExecutorOptions())  # refused before data and model are read, and in a dry run, too
    if dry_run:
        print_dry_run(chosen, out, replace=replace)
        return
    how = How(save, threads, jobs, figures, limit, executor, replace, json_, logger or [])
    compare_and_tell(chosen, out, how)


def _tell_lines_that_keep(study: Study, assignments: list[str]) -> None:
    from whichtune.expansion.assemble import lines_that_keep

    for sentence in lines_that_keep(study, assignments):
        console(stderr=True).print(sentence, highlight=False, markup=False, soft_wrap=True)


@app.command(epilog=epilog("plan"))
def plan(
    study: choices.StudyFile = None,
    data: choices.Data = None,
    model: choices.Model = None,
    methods: Annotated[str | None, typer.Option(help="Methods, separated by commas.")] = None,
    set_: choices.Settings = None,
    device: choices.Device = None,
) -> None:
    """Show what a study will compute, why, and how much that saves; run nothing."""
    from whichtune.cli.terminal import print_plan
    from whichtune.compare import prepare
    from whichtune.expansion.assemble import assemble_study, refuse_no_data
    from whichtune.runs.preview import preview_study

    chosen = assemble_study(study, data, None, None, model, methods, None, set_ or [], None, device)
    refuse_no_data(study, data, set_ or [])
    _tell_lines_that_keep(chosen, set_ or [])
    expansion, dataset = prepare(chosen)
    print_plan(preview_study(expansion.specs, dataset), console())


@app.command(epilog=epilog("cache"))
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove every entry that is not being written.")] = False,
) -> None:
    """List or clear the stored states of frozen blocks."""
    from whichtune.cli.terminal import print_cache
    from whichtune.shortcuts.cache import ActivationCache
    from whichtune.shortcuts.kept import default_root

    place = ActivationCache(default_root())
    if clear:
        say(f"{place.clear() / 1e6:.1f} MB freed in {place.root}")
    else:
        print_cache(place.entries(), place.root, place.limit, console())


@app.command(epilog=epilog("methods"))
def methods(
    name: Annotated[str | None, typer.Argument(help="One method, in full.")] = None,
    model: Annotated[
        str | None, typer.Option("--for", help="Which methods go with this model, and the size of their files.")
    ] = None,
) -> None:
    """List the methods and baselines, or show one method's card."""
    from whichtune.cli.listing import print_method, print_methods, print_methods_for
    from whichtune.expansion.names import spelled
    from whichtune.methods import METHODS

    if model is not None:
        print_methods_for(model, name, console())
    elif name is None:
        print_methods(console())
    else:
        print_method(spelled(name, METHODS), console())


@app.command(epilog=epilog("show"))
def show(
    folder: choices.StudyDir,
    run: Annotated[str | None, typer.Argument(help="Run id, label, or LABEL:SEED; without: the table.")] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw score against training time, too.")] = False,
    time: Annotated[bool, typer.Option("--time", help="Where the time of a run, or of each row, went.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the stored JSON.")] = False,
) -> None:
    """Show a study's decision and table, or everything about one run."""
    import json

    from whichtune.cli.summary import print_plot, print_summary
    from whichtune.cli.terminal import print_run
    from whichtune.evidence.stored import SUMMARY, doubts, read_summary
    from whichtune.records.store import StudyFolder
    from whichtune.report.write import load_summary
    from whichtune.runs.predict import find_run

    place = StudyFolder(folder)
    if run is None and json_:
        text = json.dumps(place.read_json(SUMMARY), indent=1, ensure_ascii=False)
        for doubt in doubts(place, read_summary(place)):
            say(doubt, stderr=True)
        print(safe_json(text))
        return
    if time:
        from whichtune.cli.timed import print_times, print_times_of_run

        if run is None:
            print_times(load_summary(place), console())
        else:
            print_times_of_run(find_run(place, run), console())
        return
    if run is None:
        print_summary(summary := load_summary(place), screen := console())
        if plot:
            print_plot(summary, screen)
        return
    record = find_run(place, run)
    if json_:
        print(safe_json(record.model_dump_json(indent=1)))
    else:
        print_run(record, place.curves(record.run_id), console())


@app.command(epilog=epilog("report"))
def report(
    folder: choices.StudyDir,
    figures: Annotated[bool, typer.Option(help="Write each figure as PNG and SVG, too.")] = True,
    no_texts: choices.NoTexts = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the paths of what was written as JSON.")] = False,
) -> None:
    """Write a study's report: one HTML page, its tables, and its figures. Needs no torch."""
    from whichtune.cli.summary import print_summary
    from whichtune.evidence.stored import without_texts
    from whichtune.records.store import StudyFolder
    from whichtune.report.write import load_summary, write_report

    place = StudyFolder(folder)
    if no_texts:
        without_texts(place)
    written = write_report(place, figures)
    if json_:
        import json

        print(safe_json(json.dumps(written.paths(), indent=1, ensure_ascii=False)))
        return
    screen = console()
    print_summary(load_summary(place), screen)
    screen.print(f"The report is in {written.page}", highlight=False, markup=False, soft_wrap=True)


@app.command(epilog=epilog("doctor"))
def doctor(
    speed: Annotated[
        bool, typer.Option("--speed", help="Measure how fast models train here, beside plain products of matrices.")
    ] = False,
    model: Annotated[str, typer.Option(help="With --speed: the model to train.")] = "embedded",
    device: Annotated[str, typer.Option(help="With --speed: auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Check this machine and installation."""
    from whichtune.cli.doctor import examine

    if speed:
        from whichtune.cli.speed import sentences

        for line in sentences(model, device):
            say(line)
        return
    checks = examine()
    for check in checks:
        say(f"{'ok     ' if check.ok else 'PROBLEM'}  {check.name:9}  {check.text}")
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def _version(wanted: bool) -> None:
    if wanted:
        from whichtune.version import VERSION

        print(f"whichtune {VERSION}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks (allowed after a command, too).")] = False,
    plugin: Annotated[
        list[str] | None,
        typer.Option(
            "--plugin", help="A module or .py file that adds methods and the like (allowed after a command, too)."
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of every command."""


def _fail(text: str, code: int) -> NoReturn:
    say(text, stderr=True)
    raise SystemExit(code)


def main() -> None:
    """Entry point: bad input is one sentence and exit code 2, a traceback only with --debug."""
    remember_command()
    if "--debug" in sys.argv:
        sys.argv.remove("--debug")
        os.environ["WHICHTUNE_DEBUG"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        load_plugins(sys.argv)
        code = app(standalone_mode=False)
    except WhichtuneError as error:
        if debug_wanted():
            raise
        _fail(f"Error: {' '.join(str(error).split())}", 2)  # one line, whatever a library's reason has in it
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; nothing is left to say
        raise SystemExit(1) from None
    except Exception as error:
        if is_parser_error(error):
            if (sentence := parser_sentence(error, sys.argv[1:])) is not None:
                _fail(sentence, error.exit_code)
            error.show(shown := io.StringIO())  # the parser's own errors know how to print themselves
            say(shown.getvalue().removesuffix("\n"), stderr=True)
            raise SystemExit(error.exit_code) from None
        if debug_wanted():
            raise
        _fail(f"whichtune failed: {type(error).__name__}: {error} (--debug shows where).", 1)
    if code == INTERRUPTED:  # the parser turns Ctrl-C into this code
        _fail("Interrupted. What is complete is kept; the same command resumes.", INTERRUPTED)
    raise SystemExit(code or 0)


published.add_to(app)
predict.add_to(app)
serve.add_to(app)
growing.add_to(app)
handover.add_to(app)

if __name__ == "__main__":
    main()
