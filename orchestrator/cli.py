"""The command line: `trytable VERB`.

Each verb is also a target of the Makefile, which passes its variables in the environment
(TRYTABLE_NAME and so on). A verb imports its command when it runs, so that it pays only for what it
uses: `trytable sweeps` must not wait for Optuna or plotly.
"""

import contextvars
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from trytable import __version__
from trytable.orchestrator.commands import options
from trytable.orchestrator.commands.command_line import add_verb
from trytable.orchestrator.errors import UnexpectedError, UserError, user_errors

if TYPE_CHECKING:
    from trytable.orchestrator.run.sweep import SweepOutcome

USER_ERROR = 2
FAILED = 1
INTERRUPTED = 130
"""Exit codes; 130 is the shell's own for Ctrl-C."""

TRAIN, LOOK, STORE = "Train", "Look at results", "Store and exchange"

app = typer.Typer(pretty_exceptions_enable=False)


def _print_version(value: bool) -> None:
    if value:
        Console().print(Text(f"trytable {__version__}"))
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback prints it
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Run hyperparameter sweeps for transformer fine-tuning and compare their trials.

    The verbs are also targets of make: `trytable sweep lr --trials 20` is
    `make sweep NAME=lr TRIALS=20`.
    """
    if context.invoked_subcommand is None:
        context.get_help()
        raise typer.Exit(USER_ERROR)


@add_verb(app, "sweep", TRAIN)
def sweep(
    name: options.SweepName = "",
    trials: options.Trials = None,
    hours: options.Hours = None,
    *,
    changes: options.Changes,
    as_new: options.AsNew = False,
    retry_failed: options.RetryFailed = True,
    engine: options.Engine,
    all_studies: options.AllStudies,
    report_options: options.ReportLanguage,
    log_level: options.LogLevel = "info",
) -> None:
    """Run a sweep, or the rest of one, and print its Try table.

    The same command continues a sweep that was stopped.
    """
    from trytable.orchestrator.commands.look.report import report_study
    from trytable.orchestrator.commands.train.sweep import train_sweep
    from trytable.orchestrator.log.run_log import set_log_level

    set_log_level(log_level)
    budgets: dict[str, object] = {"trials": trials, "hours": hours}
    overrides = {key: value for key, value in budgets.items() if value is not None}
    console = Console()
    outcome = train_sweep(
        name,
        all_studies,
        {**overrides, **changes.settings},
        engine,
        retry_failed=retry_failed,
        as_new=as_new,
        report=partial(report_study, console=console, options=report_options),
        console=console,
    )
    _exit_with(outcome)


@add_verb(app, "confirm", TRAIN)
def confirm(
    study: options.Study,
    top: options.Top = options.DEFAULT_TOP,
    seeds: options.Seeds = options.DEFAULT_SEEDS,
    *,
    retry_failed: options.RetryFailed = True,
    engine: options.Engine,
    report_options: options.ReportLanguage,
    log_level: options.LogLevel = "info",
) -> None:
    """Retrain a study's leaders and baseline with fresh seeds and compare their means."""
    from trytable.orchestrator.commands.look.report import report_study
    from trytable.orchestrator.commands.train.confirm import confirm_study
    from trytable.orchestrator.log.run_log import set_log_level

    set_log_level(log_level)
    console = Console()
    outcome = confirm_study(
        study,
        top,
        seeds,
        engine,
        retry_failed=retry_failed,
        report=partial(report_study, console=console, options=report_options),
        console=console,
    )
    _exit_with(outcome)


@add_verb(app, "lr-range", TRAIN)
def lr_range(
    name: options.SweepName = "",
    *,
    ramp: options.Ramp,
    changes: options.Changes,
    apply: options.Apply = False,
    runs: options.RunsFolder,
    log_level: options.LogLevel = "info",
) -> None:
    """Run a learning-rate range test over several seeds and suggest a learning rate."""
    from trytable.orchestrator.commands.train.lr_range import RangeTestRequest, run_range_test
    from trytable.orchestrator.log.run_log import set_log_level

    set_log_level(log_level)
    request = RangeTestRequest(name, runs, changes.settings, changes.variables, ramp, apply)
    run_range_test(request, Console())


@add_verb(app, "rerun", TRAIN)
def rerun(
    study: options.Study, number: options.TryNumber = None, log_level: options.LogLevel = "info"
) -> None:
    """Retrain a try from its record and check that every bit is the same."""
    from trytable.orchestrator.commands.train.rerun import rerun_trial
    from trytable.orchestrator.log.run_log import set_log_level

    set_log_level(log_level)
    outcome = rerun_trial(study, number, Console())
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not outcome.as_expected:
        raise typer.Exit(FAILED)


@add_verb(app, "suggest", TRAIN)
def suggest(study: options.Study) -> None:
    """Write the next sweep file, based on a study's results and findings."""
    from trytable.orchestrator.commands.train.suggest import suggest_sweep

    suggest_sweep(study, Console())


@add_verb(app, "sweeps", LOOK)
def sweeps() -> None:
    """List the sweeps and the parameters that each varies."""
    from trytable.orchestrator.commands.look.sweeps import print_sweeps

    print_sweeps(Console())


@add_verb(app, "diagnose", LOOK)
def diagnose(
    name: options.SweepName = "", *, changes: options.Changes, runs: options.RunsFolder
) -> None:
    """Check a sweep's data, model and baseline before it runs.

    The exit code is 1 if a check fails.
    """
    from trytable.orchestrator.commands.look.diagnose import diagnose_sweep

    if not diagnose_sweep(name, runs, changes.settings, Console()):
        raise typer.Exit(FAILED)


@add_verb(app, "report", LOOK)
def report(study: options.Study, report_options: options.Report) -> None:
    """Write a study's report.html, report.md and tables, and print its Try table."""
    from trytable.orchestrator.commands.look.report import report_study

    report_study(study, Console(), report_options)


@add_verb(app, "show", LOOK)
def show(study: options.Study, number: options.TryNumber = None) -> None:
    """Print one try in full: settings, attempts, curve, findings, files."""
    from trytable.orchestrator.commands.look.show import show_trial

    show_trial(study, number, Console())


@add_verb(app, "export", LOOK)
def export(
    study: options.Study, formats: options.Formats = (), *, report_options: options.Report
) -> None:
    """Write a study's Try table as md, csv, tex, xlsx and json."""
    from trytable.orchestrator.commands.look.report import export_tables

    export_tables(study, formats, Console(), report_options)


@add_verb(app, "check", LOOK)
def check(folders: options.AnyStudy) -> None:
    """Check that no trial of a study (or of any) was lost or duplicated.

    The exit code is 1 if there is a problem.
    """
    from trytable.orchestrator.commands.look.check import print_check

    if not print_check(folders, Console()):
        raise typer.Exit(FAILED)


@add_verb(app, "dashboard", LOOK)
def dashboard(
    port: options.Port = options.DEFAULT_PORT,
    writable: options.Writable = False,
    *,
    all_studies: options.AllStudies,
) -> None:
    """Open the Optuna dashboard on the studies, read-only by default."""
    from trytable.orchestrator.commands.look.dashboard import serve_dashboard

    serve_dashboard(all_studies, port, writable=writable, console=Console())


@add_verb(app, "best", STORE)
def best(study: options.Study, out: options.Out = None, number: options.AnotherTry = None) -> None:
    """Export the best try as a model folder that transformers can load."""
    from trytable.orchestrator.commands.keep.export_model import export_model

    export_model(study, number, out, Console())


@add_verb(app, "import", STORE)
def import_(study: options.Study, log: options.Log = None, pattern: options.Pattern = "") -> None:
    """Import a log of runs made by hand.

    The first call writes a mapping file to complete; the second imports by it.
    """
    from trytable.orchestrator.commands.log_import.command import import_log
    from trytable.orchestrator.commands.look.report import report_study

    console = Console()
    import_log(log, study, pattern, console, report=partial(report_study, console=console))


@add_verb(app, "backup", STORE)
def backup(all_studies: options.AllStudies) -> None:
    """Copy the study database, even while sweeps write to it, and check the copy."""
    from trytable.orchestrator.commands.keep.backup import back_up_database

    back_up_database(all_studies, Console())


@add_verb(app, "move-storage", STORE)
def move_storage(
    source: options.Source = "",
    target: options.Target = "",
    name: options.MovedStudy = "",
    *,
    runs: options.RunsFolder,
) -> None:
    """Copy studies from one database to another and verify the copy."""
    from trytable.orchestrator.commands.keep.move_storage import move_studies

    if not move_studies(source, target, name, runs, Console()):
        raise typer.Exit(FAILED)


def _exit_with(outcome: "SweepOutcome") -> None:
    """Exit with a code other than 0 if the run was interrupted or completed no trial."""
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)
    if outcome.failed and not outcome.completed:
        raise typer.Exit(FAILED)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; a mistake of the user is printed as one paragraph with exit code 2."""
    # In a context of its own, because a verb chooses how messages spell its options.
    sys.exit(contextvars.copy_context().run(_run, arguments))


def _run(arguments: Sequence[str] | None) -> int:
    try:
        with user_errors():
            return app(arguments, prog_name="trytable", standalone_mode=False) or 0
    except (UserError, UnexpectedError, typer.TyperException) as error:
        Console(stderr=True).print(Text(f"trytable: {error}"), soft_wrap=True)
        return FAILED if isinstance(error, UnexpectedError) else USER_ERROR


if __name__ == "__main__":
    main()
