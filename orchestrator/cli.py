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

from trytable.orchestrator.commands.options import (
    DEFAULT_RUNS,
    AllTests,
    Checkpoints,
    Data,
    EngineName,
    Model,
    Name,
    ReportLanguage,
    RetryFailed,
    Runs,
    Settings,
    Slots,
    Storage,
    StudyName,
    TryNumber,
    all_studies,
    argument,
    data_and_model,
    decimal,
    one_study,
    option,
    report_words,
    shows_all_tests,
    switch,
    whole_number,
)
from trytable.orchestrator.errors import UserError
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
    name: Name = "",
    trials: Annotated[str, option("TRIALS", "number of trials in total")] = "",
    hours: Annotated[str, option("HOURS", "stop after this time")] = "",
    data: Data = "",
    model: Model = "",
    slots: Slots = "",
    engine: EngineName = "",
    checkpoints: Checkpoints = "",
    runs: Runs = DEFAULT_RUNS,
    storage: Storage = "",
    settings: Settings = "",
    retry_failed: RetryFailed = "",
    as_new: Annotated[str, option("AS_NEW", "1: new study for a changed sweep")] = "",
    language: ReportLanguage = "",
) -> None:
    """Run a sweep, or the rest of one, and print its Try table."""
    from trytable.orchestrator.commands.look.report import ReportOptions, report_study
    from trytable.orchestrator.commands.train.sweep import train_sweep
    from trytable.orchestrator.run.engine import EngineOptions

    # SET comes last, so that SET="data.text=review" changes one key of the data that DATA names.
    budgets = {"trials": whole_number("TRIALS", trials), "hours": decimal("HOURS", hours)}
    overrides = data_and_model(data, model)
    overrides |= {key: value for key, value in budgets.items() if value is not None}
    console = Console()
    outcome = train_sweep(
        name,
        all_studies(runs, storage),
        overrides | parse_overrides(settings),
        EngineOptions(engine, whole_number("SLOTS", slots), checkpoints),
        retry_failed=switch("RETRY_FAILED", retry_failed, default=True),
        as_new=switch("AS_NEW", as_new, default=False),
        report=partial(
            report_study, console=console, options=ReportOptions(report_words(language))
        ),
        console=console,
    )
    _exit_with(outcome)


@app.command()
def confirm(
    *,
    name: Name = "",
    top: Annotated[str, option("TOP", "number of leaders to retrain")] = "",
    seeds: Annotated[str, option("SEEDS", "seeds for each")] = "",
    slots: Slots = "",
    engine: EngineName = "",
    checkpoints: Checkpoints = "",
    runs: Runs = DEFAULT_RUNS,
    storage: Storage = "",
    retry_failed: RetryFailed = "",
    language: ReportLanguage = "",
) -> None:
    """Retrain a study's leaders and baseline with fresh seeds and compare their means."""
    from trytable.orchestrator.commands.look.report import ReportOptions, report_study
    from trytable.orchestrator.commands.train.confirm import (
        DEFAULT_SEEDS,
        DEFAULT_TOP,
        confirm_study,
    )
    from trytable.orchestrator.run.engine import EngineOptions

    top_count, seed_count = whole_number("TOP", top), whole_number("SEEDS", seeds)
    console = Console()
    outcome = confirm_study(
        one_study(name, runs, storage),
        DEFAULT_TOP if top_count is None else top_count,
        DEFAULT_SEEDS if seed_count is None else seed_count,
        EngineOptions(engine, whole_number("SLOTS", slots), checkpoints),
        retry_failed=switch("RETRY_FAILED", retry_failed, default=True),
        report=partial(
            report_study, console=console, options=ReportOptions(report_words(language))
        ),
        console=console,
    )
    _exit_with(outcome)


@app.command()
def diagnose(
    *,
    name: Name = "",
    data: Data = "",
    model: Model = "",
    runs: Runs = DEFAULT_RUNS,
    settings: Settings = "",
) -> None:
    """Check a sweep's data, model and baseline before it runs; exit code 1 if a check fails."""
    from trytable.orchestrator.commands.look.diagnose import diagnose_sweep

    overrides = data_and_model(data, model) | parse_overrides(settings)
    if not diagnose_sweep(name, runs, overrides, Console()):
        raise typer.Exit(FAILED)


@app.command()
def suggest(name: Name = "", runs: Runs = DEFAULT_RUNS, storage: Storage = "") -> None:
    """Write the next sweep file, based on a study's results and findings."""
    from trytable.orchestrator.commands.train.suggest import suggest_sweep

    suggest_sweep(one_study(name, runs, storage), Console())


@app.command(name="lr-range")
def lr_range(
    *,
    name: Name = "",
    data: Data = "",
    model: Model = "",
    runs: Runs = DEFAULT_RUNS,
    settings: Settings = "",
    freeze: Annotated[str, option("FREEZE", "none,half,…")] = "",
    lr_from: Annotated[str, option("LR_FROM", "1e-7")] = "",
    lr_to: Annotated[str, option("LR_TO", "1")] = "",
    steps: Annotated[str, option("STEPS", "100")] = "",
    seeds: Annotated[str, option("SEEDS", "3")] = "",
    apply: Annotated[str, option("APPLY", "1: write a sweep file with the bounds")] = "",
) -> None:
    """Run a learning-rate range test over several seeds and suggest a learning rate."""
    from trytable.orchestrator.commands.train.lr_range import (
        RangeTestOptions,
        RangeTestRequest,
        run_range_test,
    )

    options: dict[str, Any] = {
        "low": decimal("LR_FROM", lr_from),
        "high": decimal("LR_TO", lr_to),
        "steps": whole_number("STEPS", steps),
        "seeds": whole_number("SEEDS", seeds),
        "freezes": freeze,
    }
    variables = {"DATA": data, "MODEL": model, "SET": settings}
    request = RangeTestRequest(
        name=name,
        runs=runs,
        overrides=data_and_model(data, model) | parse_overrides(settings),
        variables={key: value for key, value in variables.items() if value},
        options=RangeTestOptions(**{k: value for k, value in options.items() if value is not None}),
        apply=switch("APPLY", apply, default=False),
    )
    run_range_test(request, Console())


@app.command()
def sweeps() -> None:
    """List the sweeps and the parameters that each varies."""
    from trytable.orchestrator.commands.look.sweeps import print_sweeps

    print_sweeps(Console())


@app.command()
def report(
    name: Name = "",
    runs: Runs = DEFAULT_RUNS,
    storage: Storage = "",
    language: ReportLanguage = "",
    test: AllTests = "",
) -> None:
    """Write a study's report.html, report.md and tables, and print its Try table."""
    from trytable.orchestrator.commands.look.report import ReportOptions, report_study

    options = ReportOptions(report_words(language), shows_all_tests(test))
    report_study(one_study(name, runs, storage), Console(), options)


@app.command()
def show(
    name: StudyName = "",
    number: TryNumber = "",
    runs: Runs = DEFAULT_RUNS,
    storage: Storage = "",
) -> None:
    """Print one try in full: requested and effective settings, attempts, curve, findings, files."""
    from trytable.orchestrator.commands.look.show import show_trial

    show_trial(one_study(name, runs, storage), number, Console())


@app.command()
def rerun(
    name: StudyName = "",
    number: TryNumber = "",
    runs: Runs = DEFAULT_RUNS,
    storage: Storage = "",
) -> None:
    """Retrain a try from its record and report whether the result is the same to the last bit."""
    from trytable.orchestrator.commands.train.rerun import rerun_trial

    outcome = rerun_trial(one_study(name, runs, storage), number, Console())
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not outcome.as_expected:
        raise typer.Exit(FAILED)


@app.command()
def best(
    name: StudyName = "",
    out: Annotated[str, option("OUT", "a new folder")] = "",
    number: Annotated[str, option("TRY", "another try than the best", "--try")] = "",
    runs: Runs = DEFAULT_RUNS,
    storage: Storage = "",
) -> None:
    """Export the best try as a model folder that transformers loads, with its provenance."""
    from trytable.orchestrator.commands.keep.export_model import export_model

    export_model(one_study(name, runs, storage), number, out, Console())


@app.command()
def export(
    *,
    name: Name = "",
    formats: Annotated[str, option("FORMAT", "such as md,csv,tex", "--format")] = "",
    runs: Runs = DEFAULT_RUNS,
    storage: Storage = "",
    language: ReportLanguage = "",
    test: AllTests = "",
) -> None:
    """Write a study's Try table as md, csv, tex, xlsx or json; in all formats by default."""
    from trytable.orchestrator.commands.look.report import ReportOptions, export_tables

    options = ReportOptions(report_words(language), shows_all_tests(test))
    export_tables(one_study(name, runs, storage), formats, Console(), options)


@app.command("import")
def import_(
    name: StudyName = "",
    log: Annotated[str, option("LOG", "a log, CSV or JSON file")] = "",
    pattern: Annotated[str, option("PATTERN", "your own, with named groups")] = "",
    runs: Runs = DEFAULT_RUNS,
    storage: Storage = "",
) -> None:
    """Import a log of runs made by hand: write a mapping file to complete, then import by it."""
    from trytable.orchestrator.commands.log_import.command import import_log
    from trytable.orchestrator.commands.look.report import report_study

    console = Console()
    folders = one_study(name, runs, storage)
    import_log(log, folders, pattern, console, report=partial(report_study, console=console))


@app.command()
def backup(runs: Runs = DEFAULT_RUNS, storage: Storage = "") -> None:
    """Copy the study database, even while sweeps write to it, and check that it is sound."""
    from trytable.orchestrator.commands.keep.backup import back_up_database

    back_up_database(all_studies(runs, storage), Console())


@app.command(name="move-storage")
def move_storage(
    source: Annotated[str, argument("FROM", "a folder or a URL", metavar="FROM")] = "",
    target: Annotated[str, argument("TO", "a folder or a URL", metavar="TO")] = "",
    name: Annotated[str, option("NAME", "one study; all by default")] = "",
    runs: Runs = DEFAULT_RUNS,
) -> None:
    """Copy studies from one database to another and verify that they are the same there."""
    from trytable.orchestrator.commands.keep.move_storage import move_studies

    if not move_studies(source, target, name, runs, Console()):
        raise typer.Exit(FAILED)


@app.command()
def check(name: Name = "", runs: Runs = DEFAULT_RUNS, storage: Storage = "") -> None:
    """Check the database, and that no trial of a study (or of any) was lost or duplicated."""
    from trytable.orchestrator.commands.look.check import print_check

    folders = one_study(name, runs, storage) if name else all_studies(runs, storage)
    if not print_check(folders, Console()):
        raise typer.Exit(FAILED)


@app.command()
def dashboard(
    runs: Runs = DEFAULT_RUNS,
    storage: Storage = "",
    port: Annotated[str, option("PORT", "on 127.0.0.1")] = "",
    writable: Annotated[str, option("WRITABLE", "1: allow changes")] = "",
) -> None:
    """Open the Optuna dashboard on the studies, read-only by default."""
    from trytable.orchestrator.commands.look.dashboard import DEFAULT_PORT, serve_dashboard

    serve_dashboard(
        all_studies(runs, storage),
        whole_number("PORT", port) or DEFAULT_PORT,
        writable=switch("WRITABLE", writable, default=False),
        console=Console(),
    )


def _exit_with(outcome: "SweepOutcome") -> None:
    """Exit with a code other than 0 if the run was interrupted or completed no trial."""
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)
    if outcome.failed and not outcome.completed:
        raise typer.Exit(FAILED)


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; a UserError is printed as one paragraph with exit code 2."""
    from trytable.orchestrator.commands.terminal import user_errors

    try:
        with user_errors():
            app(arguments)
    except UserError as error:
        Console(stderr=True).print(Text(f"trytable: {error}"), soft_wrap=True)
        sys.exit(USER_ERROR)


if __name__ == "__main__":
    main()
