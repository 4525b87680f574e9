"""The command line: `trytable VERB`.

Each verb is also a target of the Makefile, which passes its variables in the environment
(TRYTABLE_NAME and so on). A verb imports its command when it runs, so that it pays only for what it
uses: `trytable sweeps` must not wait for Optuna or plotly.
"""

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from trytable.orchestrator.commands import options
from trytable.orchestrator.errors import UnexpectedError, UserError
from trytable.sweeps.config.overrides import parse_overrides

if TYPE_CHECKING:
    from trytable.orchestrator.run.sweep import SweepOutcome

USER_ERROR = 2
FAILED = 1
INTERRUPTED = 130
"""Exit codes; 130 is the shell's own for Ctrl-C."""

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.command()
def sweep(
    *,
    name: options.Name = "",
    trials: Annotated[str, options.option("TRIALS", "number of trials in total")] = "",
    hours: Annotated[str, options.option("HOURS", "stop after this time")] = "",
    data: options.Data = "",
    model: options.Model = "",
    slots: options.Slots = "",
    engine: options.EngineName = "",
    checkpoints: options.Checkpoints = "",
    runs: options.Runs = options.DEFAULT_RUNS,
    storage: options.Storage = "",
    settings: options.Settings = "",
    retry_failed: options.RetryFailed = "",
    as_new: Annotated[str, options.option("AS_NEW", "1: new study for a changed sweep")] = "",
    language: options.ReportLanguage = "",
    log_level: options.LogLevel = "",
) -> None:
    """Run a sweep, or the rest of one, and print its Try table."""
    from trytable.orchestrator.commands.look.report import ReportOptions, report_study
    from trytable.orchestrator.commands.train.sweep import train_sweep
    from trytable.orchestrator.log.run_log import set_log_level
    from trytable.orchestrator.run.engine import EngineOptions

    set_log_level(log_level)
    # SET comes last, so that SET="data.text=review" changes one key of the data that DATA names.
    budgets = {
        "trials": options.whole_number("TRIALS", trials),
        "hours": options.decimal("HOURS", hours),
    }
    overrides = options.data_and_model(data, model)
    overrides |= {key: value for key, value in budgets.items() if value is not None}
    console = Console()
    outcome = train_sweep(
        name,
        options.all_studies(runs, storage),
        overrides | parse_overrides(settings),
        EngineOptions(engine, options.whole_number("SLOTS", slots), checkpoints),
        retry_failed=options.switch("RETRY_FAILED", retry_failed, default=True),
        as_new=options.switch("AS_NEW", as_new, default=False),
        report=partial(
            report_study, console=console, options=ReportOptions(options.report_words(language))
        ),
        console=console,
    )
    _exit_with(outcome)


@app.command()
def confirm(
    *,
    name: options.Name = "",
    top: Annotated[str, options.option("TOP", "number of leaders to retrain")] = "",
    seeds: Annotated[str, options.option("SEEDS", "seeds for each")] = "",
    slots: options.Slots = "",
    engine: options.EngineName = "",
    checkpoints: options.Checkpoints = "",
    runs: options.Runs = options.DEFAULT_RUNS,
    storage: options.Storage = "",
    retry_failed: options.RetryFailed = "",
    language: options.ReportLanguage = "",
    log_level: options.LogLevel = "",
) -> None:
    """Retrain a study's leaders and baseline with fresh seeds and compare their means."""
    from trytable.orchestrator.commands.look.report import ReportOptions, report_study
    from trytable.orchestrator.commands.train.confirm import (
        DEFAULT_SEEDS,
        DEFAULT_TOP,
        confirm_study,
    )
    from trytable.orchestrator.log.run_log import set_log_level
    from trytable.orchestrator.run.engine import EngineOptions

    set_log_level(log_level)
    top_count, seed_count = options.whole_number("TOP", top), options.whole_number("SEEDS", seeds)
    console = Console()
    outcome = confirm_study(
        options.one_study(name, runs, storage),
        DEFAULT_TOP if top_count is None else top_count,
        DEFAULT_SEEDS if seed_count is None else seed_count,
        EngineOptions(engine, options.whole_number("SLOTS", slots), checkpoints),
        retry_failed=options.switch("RETRY_FAILED", retry_failed, default=True),
        report=partial(
            report_study, console=console, options=ReportOptions(options.report_words(language))
        ),
        console=console,
    )
    _exit_with(outcome)


@app.command()
def diagnose(
    *,
    name: options.Name = "",
    data: options.Data = "",
    model: options.Model = "",
    runs: options.Runs = options.DEFAULT_RUNS,
    settings: options.Settings = "",
) -> None:
    """Check a sweep's data, model and baseline before it runs; exit code 1 if a check fails."""
    from trytable.orchestrator.commands.look.diagnose import diagnose_sweep

    overrides = options.data_and_model(data, model) | parse_overrides(settings)
    if not diagnose_sweep(name, runs, overrides, Console()):
        raise typer.Exit(FAILED)


@app.command()
def suggest(
    name: options.Name = "",
    runs: options.Runs = options.DEFAULT_RUNS,
    storage: options.Storage = "",
) -> None:
    """Write the next sweep file, based on a study's results and findings."""
    from trytable.orchestrator.commands.train.suggest import suggest_sweep

    suggest_sweep(options.one_study(name, runs, storage), Console())


@app.command(name="lr-range")
def lr_range(
    *,
    name: options.Name = "",
    data: options.Data = "",
    model: options.Model = "",
    runs: options.Runs = options.DEFAULT_RUNS,
    settings: options.Settings = "",
    freeze: Annotated[str, options.option("FREEZE", "none,half,…")] = "",
    lr_from: Annotated[str, options.option("LR_FROM", "1e-7")] = "",
    lr_to: Annotated[str, options.option("LR_TO", "1")] = "",
    steps: Annotated[str, options.option("STEPS", "100")] = "",
    seeds: Annotated[str, options.option("SEEDS", "3")] = "",
    apply: Annotated[str, options.option("APPLY", "1: write a sweep file with the bounds")] = "",
    log_level: options.LogLevel = "",
) -> None:
    """Run a learning-rate range test over several seeds and suggest a learning rate."""
    from trytable.orchestrator.commands.train.lr_range import (
        RangeTestOptions,
        RangeTestRequest,
        run_range_test,
    )
    from trytable.orchestrator.log.run_log import set_log_level

    set_log_level(log_level)
    limits: dict[str, Any] = {
        "low": options.decimal("LR_FROM", lr_from),
        "high": options.decimal("LR_TO", lr_to),
        "steps": options.whole_number("STEPS", steps),
        "seeds": options.whole_number("SEEDS", seeds),
        "freezes": freeze,
    }
    variables = {"DATA": data, "MODEL": model, "SET": settings}
    request = RangeTestRequest(
        name=name,
        runs=runs,
        overrides=options.data_and_model(data, model) | parse_overrides(settings),
        variables={key: value for key, value in variables.items() if value},
        options=RangeTestOptions(**{k: value for k, value in limits.items() if value is not None}),
        apply=options.switch("APPLY", apply, default=False),
    )
    run_range_test(request, Console())


@app.command()
def sweeps() -> None:
    """List the sweeps and the parameters that each varies."""
    from trytable.orchestrator.commands.look.sweeps import print_sweeps

    print_sweeps(Console())


@app.command()
def report(
    name: options.Name = "",
    runs: options.Runs = options.DEFAULT_RUNS,
    storage: options.Storage = "",
    language: options.ReportLanguage = "",
    test: options.AllTests = "",
) -> None:
    """Write a study's report.html, report.md and tables, and print its Try table."""
    from trytable.orchestrator.commands.look.report import ReportOptions, report_study

    report_options = ReportOptions(options.report_words(language), options.shows_all_tests(test))
    report_study(options.one_study(name, runs, storage), Console(), report_options)


@app.command()
def show(
    name: options.StudyName = "",
    number: options.TryNumber = "",
    runs: options.Runs = options.DEFAULT_RUNS,
    storage: options.Storage = "",
) -> None:
    """Print one try in full: requested and effective settings, attempts, curve, findings, files."""
    from trytable.orchestrator.commands.look.show import show_trial

    show_trial(options.one_study(name, runs, storage), number, Console())


@app.command()
def rerun(
    name: options.StudyName = "",
    number: options.TryNumber = "",
    runs: options.Runs = options.DEFAULT_RUNS,
    storage: options.Storage = "",
    log_level: options.LogLevel = "",
) -> None:
    """Retrain a try from its record and report whether the result is the same to the last bit."""
    from trytable.orchestrator.commands.train.rerun import rerun_trial
    from trytable.orchestrator.log.run_log import set_log_level

    set_log_level(log_level)
    outcome = rerun_trial(options.one_study(name, runs, storage), number, Console())
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not outcome.as_expected:
        raise typer.Exit(FAILED)


@app.command()
def best(
    name: options.StudyName = "",
    out: Annotated[str, options.option("OUT", "a new folder")] = "",
    number: Annotated[str, options.option("TRY", "another try than the best", "--try")] = "",
    runs: options.Runs = options.DEFAULT_RUNS,
    storage: options.Storage = "",
) -> None:
    """Export the best try as a model folder that transformers loads, with its provenance."""
    from trytable.orchestrator.commands.keep.export_model import export_model

    export_model(options.one_study(name, runs, storage), number, out, Console())


@app.command()
def export(
    *,
    name: options.Name = "",
    formats: Annotated[str, options.option("FORMAT", "such as md,csv,tex", "--format")] = "",
    runs: options.Runs = options.DEFAULT_RUNS,
    storage: options.Storage = "",
    language: options.ReportLanguage = "",
    test: options.AllTests = "",
) -> None:
    """Write a study's Try table as md, csv, tex, xlsx or json; in all formats by default."""
    from trytable.orchestrator.commands.look.report import ReportOptions, export_tables

    report_options = ReportOptions(options.report_words(language), options.shows_all_tests(test))
    export_tables(options.one_study(name, runs, storage), formats, Console(), report_options)


@app.command("import")
def import_(
    name: options.StudyName = "",
    log: Annotated[str, options.option("LOG", "a log, CSV or JSON file")] = "",
    pattern: Annotated[str, options.option("PATTERN", "your own, with named groups")] = "",
    runs: options.Runs = options.DEFAULT_RUNS,
    storage: options.Storage = "",
) -> None:
    """Import a log of runs made by hand: write a mapping file to complete, then import by it."""
    from trytable.orchestrator.commands.log_import.command import import_log
    from trytable.orchestrator.commands.look.report import report_study

    console = Console()
    folders = options.one_study(name, runs, storage)
    import_log(log, folders, pattern, console, report=partial(report_study, console=console))


@app.command()
def backup(runs: options.Runs = options.DEFAULT_RUNS, storage: options.Storage = "") -> None:
    """Copy the study database, even while sweeps write to it, and check that it is sound."""
    from trytable.orchestrator.commands.keep.backup import back_up_database

    back_up_database(options.all_studies(runs, storage), Console())


@app.command(name="move-storage")
def move_storage(
    source: Annotated[str, options.argument("FROM", "a folder or a URL", metavar="FROM")] = "",
    target: Annotated[str, options.argument("TO", "a folder or a URL", metavar="TO")] = "",
    name: Annotated[str, options.option("NAME", "one study; all by default")] = "",
    runs: options.Runs = options.DEFAULT_RUNS,
) -> None:
    """Copy studies from one database to another and verify that they are the same there."""
    from trytable.orchestrator.commands.keep.move_storage import move_studies

    if not move_studies(source, target, name, runs, Console()):
        raise typer.Exit(FAILED)


@app.command()
def check(
    name: options.Name = "",
    runs: options.Runs = options.DEFAULT_RUNS,
    storage: options.Storage = "",
) -> None:
    """Check the database, and that no trial of a study (or of any) was lost or duplicated."""
    from trytable.orchestrator.commands.look.check import print_check

    folders = options.one_study(name, runs, storage) if name else options.all_studies(runs, storage)
    if not print_check(folders, Console()):
        raise typer.Exit(FAILED)


@app.command()
def dashboard(
    runs: options.Runs = options.DEFAULT_RUNS,
    storage: options.Storage = "",
    port: Annotated[str, options.option("PORT", "on 127.0.0.1")] = "",
    writable: Annotated[str, options.option("WRITABLE", "1: allow changes")] = "",
) -> None:
    """Open the Optuna dashboard on the studies, read-only by default."""
    from trytable.orchestrator.commands.look.dashboard import DEFAULT_PORT, serve_dashboard

    serve_dashboard(
        options.all_studies(runs, storage),
        options.whole_number("PORT", port) or DEFAULT_PORT,
        writable=options.switch("WRITABLE", writable, default=False),
        console=Console(),
    )


def _exit_with(outcome: "SweepOutcome") -> None:
    """Exit with a code other than 0 if the run was interrupted or completed no trial."""
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)
    if outcome.failed and not outcome.completed:
        raise typer.Exit(FAILED)


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; a UserError is one paragraph and exit code 2."""
    from trytable.orchestrator.commands.terminal import user_errors

    try:
        with user_errors():
            app(arguments)
    except (UserError, UnexpectedError) as error:
        Console(stderr=True).print(Text(f"trytable: {error}"), soft_wrap=True)
        sys.exit(USER_ERROR if isinstance(error, UserError) else FAILED)


if __name__ == "__main__":
    main()
