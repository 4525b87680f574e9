"""`trytable VERB`: each verb also is a target of the Makefile, which hands its variables over
in the environment (TRYTABLE_NAME and so on)."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders
from trytable.results.storage.engine import postgresql_url
from trytable.sweeps.config.overrides import parse_overrides

if TYPE_CHECKING:
    from trytable.orchestrator.run.sweep import SweepOutcome
    from trytable.results.text.catalog import Words

FAULT_OF_THE_USER = 2
FAILED = 1
INTERRUPTED = 130
"""Exit codes; 130 is the shell's for Ctrl-C."""

_STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]*")

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Name = Annotated[str, typer.Option(envvar="TRYTABLE_NAME", help="the sweep")]
StudyName = Annotated[str, typer.Argument(envvar="TRYTABLE_NAME", help="the study")]
TryNumber = Annotated[str, typer.Argument(envvar="TRYTABLE_TRY", metavar="[TRY]", help="3: Try 3")]
Slots = Annotated[str, typer.Option(envvar="TRYTABLE_SLOTS", help="trials at once")]
EngineName = Annotated[
    str, typer.Option(envvar="TRYTABLE_ENGINE", help="local, or ray for a Ray cluster")
]
Checkpoints = Annotated[
    str, typer.Option(envvar="TRYTABLE_CHECKPOINTS", help="a URL that all Ray nodes can write to")
]
RetryFailed = Annotated[
    str, typer.Option(envvar="TRYTABLE_RETRY_FAILED", help="0: leave failed points alone")
]
ReportLanguage = Annotated[
    str, typer.Option("--lang", envvar="TRYTABLE_REPORT_LANG", help="en, or zh for Chinese")
]
Test = Annotated[str, typer.Option(envvar="TRYTABLE_TEST", help="all: every test accuracy")]
Runs = Annotated[Path, typer.Option(envvar="TRYTABLE_RUNS", help="the folder of all studies")]
Storage = Annotated[
    str, typer.Option(envvar="TRYTABLE_STORAGE", help="postgresql://… in place of the SQLite file")
]


@app.command()
def sweep(
    *,
    name: Name = "",
    trials: Annotated[str, typer.Option(envvar="TRYTABLE_TRIALS", help="trials in all")] = "",
    hours: Annotated[str, typer.Option(envvar="TRYTABLE_HOURS", help="end after so long")] = "",
    data: Annotated[str, typer.Option(envvar="TRYTABLE_DATA", help="a folder or a name")] = "",
    model: Annotated[str, typer.Option(envvar="TRYTABLE_MODEL", help="a folder or a name")] = "",
    slots: Slots = "",
    engine: EngineName = "",
    checkpoints: Checkpoints = "",
    runs: Runs = Path("runs"),
    storage: Storage = "",
    settings: Annotated[
        str, typer.Option("--set", envvar="TRYTABLE_SET", help="'key=value …' over the file's")
    ] = "",
    retry_failed: RetryFailed = "",
    as_new: Annotated[
        str, typer.Option(envvar="TRYTABLE_AS_NEW", help="1: a changed sweep's own new study")
    ] = "",
    language: ReportLanguage = "",
) -> None:
    """Run a sweep, or what is missing of it, and print its Try table."""
    # Here, not at the top: a verb pays for what it uses.
    from trytable.orchestrator.commands.look import report as verbs  # noqa: PLC0415 - see above
    from trytable.orchestrator.commands.train import sweep as sweep_verb  # noqa: PLC0415 - see above
    from trytable.orchestrator.run import engine as engines  # noqa: PLC0415 - see above

    # DATA and its kin come first: SET="data.text=review" changes a part of what DATA names.
    budgets = {"trials": _number("TRIALS", trials), "hours": _decimal("HOURS", hours)}
    overrides = _overrides(data, model)
    overrides |= {key: value for key, value in budgets.items() if value is not None}
    outcome = sweep_verb.sweep(
        name=name,
        place=_place(runs, storage),
        overrides=overrides | parse_overrides(settings),
        engine_options=engines.EngineOptions(engine, _number("SLOTS", slots), checkpoints),
        retry_failed=_switch("RETRY_FAILED", retry_failed, default=True),
        as_new=_switch("AS_NEW", as_new, default=False),
        reading=verbs.Reading(_words(language)),
        console=Console(),
    )
    _exit_as(outcome)


@app.command()
def confirm(
    *,
    name: Name = "",
    top: Annotated[str, typer.Option(envvar="TRYTABLE_TOP", help="how many leaders")] = "",
    seeds: Annotated[str, typer.Option(envvar="TRYTABLE_SEEDS", help="how many seeds each")] = "",
    slots: Slots = "",
    engine: EngineName = "",
    checkpoints: Checkpoints = "",
    runs: Runs = Path("runs"),
    storage: Storage = "",
    retry_failed: RetryFailed = "",
    language: ReportLanguage = "",
) -> None:
    """Train a study's leaders and baseline again on fresh seeds and compare their means."""
    from trytable.orchestrator.commands.look import report as verbs  # noqa: PLC0415 - as in sweep
    from trytable.orchestrator.commands.train import confirm as confirming  # noqa: PLC0415 - as in sweep
    from trytable.orchestrator.commands.train import sweep as sweep_verb  # noqa: PLC0415 - as in sweep
    from trytable.orchestrator.run import engine as engines  # noqa: PLC0415 - as in sweep

    top_count, seed_count = _number("TOP", top), _number("SEEDS", seeds)
    outcome = sweep_verb.confirm(
        _study(name, runs, storage),
        top=confirming.TOP if top_count is None else top_count,
        seeds=confirming.SEEDS if seed_count is None else seed_count,
        engine_options=engines.EngineOptions(engine, _number("SLOTS", slots), checkpoints),
        retry_failed=_switch("RETRY_FAILED", retry_failed, default=True),
        reading=verbs.Reading(_words(language)),
        console=Console(),
    )
    _exit_as(outcome)


@app.command()
def diagnose(
    *,
    name: Name = "",
    data: Annotated[str, typer.Option(envvar="TRYTABLE_DATA", help="a folder or a name")] = "",
    model: Annotated[str, typer.Option(envvar="TRYTABLE_MODEL", help="a folder or a name")] = "",
    runs: Runs = Path("runs"),
    settings: Annotated[
        str, typer.Option("--set", envvar="TRYTABLE_SET", help="'key=value …' over the file's")
    ] = "",
) -> None:
    """Look at a sweep's data, model and baseline before it runs; exit code 1 where it cannot do."""
    from trytable.orchestrator.commands.look import diagnose as advising  # noqa: PLC0415 - as in sweep

    overrides = _overrides(data, model) | parse_overrides(settings)
    if not advising.diagnose(name, runs, overrides, Console()):
        raise typer.Exit(FAILED)


@app.command()
def suggest(name: Name = "", runs: Runs = Path("runs"), storage: Storage = "") -> None:
    """Turn a study's results and findings into the next sweep file."""
    from trytable.orchestrator.commands.train import suggest as suggesting  # noqa: PLC0415 - as in sweep

    suggesting.suggest(_study(name, runs, storage), Console())


@app.command(name="lr-range")
def lr_range(
    *,
    name: Name = "",
    data: Annotated[str, typer.Option(envvar="TRYTABLE_DATA", help="a folder or a name")] = "",
    model: Annotated[str, typer.Option(envvar="TRYTABLE_MODEL", help="a folder or a name")] = "",
    runs: Runs = Path("runs"),
    settings: Annotated[
        str, typer.Option("--set", envvar="TRYTABLE_SET", help="'key=value …' over the file's")
    ] = "",
    freeze: Annotated[str, typer.Option(envvar="TRYTABLE_FREEZE", help="none,half,…")] = "",
    lr_from: Annotated[str, typer.Option(envvar="TRYTABLE_LR_FROM", help="1e-7")] = "",
    lr_to: Annotated[str, typer.Option(envvar="TRYTABLE_LR_TO", help="1")] = "",
    steps: Annotated[str, typer.Option(envvar="TRYTABLE_STEPS", help="100")] = "",
    seeds: Annotated[str, typer.Option(envvar="TRYTABLE_SEEDS", help="3")] = "",
    apply: Annotated[
        str, typer.Option(envvar="TRYTABLE_APPLY", help="1: write a sweep file with the bounds")
    ] = "",
) -> None:
    """Find a learning rate: raise it step by step, over several seeds, and see where to begin."""
    from trytable.orchestrator.commands.train import lr_range as test  # noqa: PLC0415 - as in sweep

    rise: dict[str, Any] = {
        "low": _decimal("LR_FROM", lr_from),
        "high": _decimal("LR_TO", lr_to),
        "steps": _number("STEPS", steps),
        "seeds": _number("SEEDS", seeds),
        "freezes": freeze,
    }
    variables = {"DATA": data, "MODEL": model, "SET": settings}
    asked = test.Asked(
        name=name,
        runs=runs,
        overrides=_overrides(data, model) | parse_overrides(settings),
        variables={key: value for key, value in variables.items() if value},
        rise=test.Rise(**{key: value for key, value in rise.items() if value is not None}),
        apply=_switch("APPLY", apply, default=False),
    )
    test.lr_range(asked, Console())


@app.command()
def sweeps() -> None:
    """List the sweeps and what each varies."""
    from trytable.orchestrator.commands.look import report as verbs  # noqa: PLC0415 - as in sweep

    verbs.list_sweeps(Console())


@app.command()
def report(
    name: Name = "",
    runs: Runs = Path("runs"),
    storage: Storage = "",
    language: ReportLanguage = "",
    test: Test = "",
) -> None:
    """Write report.html, report.md and the tables of a study, and print its Try table."""
    from trytable.orchestrator.commands.look import report as verbs  # noqa: PLC0415 - as in sweep

    reading = verbs.Reading(_words(language), _all_tests(test))
    verbs.report(_study(name, runs, storage), Console(), reading)


@app.command()
def show(
    name: StudyName = "", number: TryNumber = "", runs: Runs = Path("runs"), storage: Storage = ""
) -> None:
    """Print one try in full: requested beside effective, attempts, curve, findings, files."""
    from trytable.orchestrator.commands.look.show import show as show_try  # noqa: PLC0415 - as in sweep

    show_try(_study(name, runs, storage), number, Console())


@app.command()
def rerun(
    name: StudyName = "", number: TryNumber = "", runs: Runs = Path("runs"), storage: Storage = ""
) -> None:
    """Train a try again from its record and say whether the same came, to the last bit."""
    from trytable.orchestrator.commands.train.rerun import rerun as train_again  # noqa: PLC0415 - as in sweep

    outcome = train_again(_study(name, runs, storage), number, Console())
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not outcome.as_expected:
        raise typer.Exit(FAILED)


@app.command()
def best(
    name: StudyName = "",
    out: Annotated[str, typer.Option(envvar="TRYTABLE_OUT", help="a new folder")] = "",
    number: Annotated[
        str, typer.Option("--try", envvar="TRYTABLE_TRY", help="another try than the best")
    ] = "",
    runs: Runs = Path("runs"),
    storage: Storage = "",
) -> None:
    """Hand the best try over: a model folder that transformers loads, and how it was made."""
    from trytable.orchestrator.commands.keep.export_model import best as hand_over  # noqa: PLC0415 - as in sweep

    hand_over(_study(name, runs, storage), number, out, Console())


@app.command()
def export(
    *,
    name: Name = "",
    formats: Annotated[
        str, typer.Option("--format", envvar="TRYTABLE_FORMAT", help="such as md,csv,tex")
    ] = "",
    runs: Runs = Path("runs"),
    storage: Storage = "",
    language: ReportLanguage = "",
    test: Test = "",
) -> None:
    """Write a study's Try table as md, csv, tex, xlsx or json; all of them by default."""
    from trytable.orchestrator.commands.look import report as verbs  # noqa: PLC0415 - as in sweep

    reading = verbs.Reading(_words(language), _all_tests(test))
    verbs.export(_study(name, runs, storage), formats, Console(), reading)


@app.command("import")
def import_(
    name: StudyName = "",
    log: Annotated[str, typer.Option(envvar="TRYTABLE_LOG", help="a log, CSV or JSON file")] = "",
    pattern: Annotated[
        str, typer.Option(envvar="TRYTABLE_PATTERN", help="your own, with named groups")
    ] = "",
    runs: Runs = Path("runs"),
    storage: Storage = "",
) -> None:
    """Adopt what was run by hand: first write a mapping file to complete, then import by it."""
    from trytable.orchestrator.commands.log_import.command import import_log  # noqa: PLC0415 - as in sweep

    import_log(log, _study(name, runs, storage), pattern, Console())


@app.command()
def backup(runs: Runs = Path("runs"), storage: Storage = "") -> None:
    """Copy the study database, also while sweeps write it, and say whether it is sound."""
    from trytable.orchestrator.commands.keep.backup import backup as copy  # noqa: PLC0415 - as in sweep

    copy(_place(runs, storage), Console())


@app.command(name="move-storage")
def move_storage(
    source: Annotated[
        str, typer.Argument(envvar="TRYTABLE_FROM", metavar="FROM", help="a folder or a URL")
    ] = "",
    target: Annotated[
        str, typer.Argument(envvar="TRYTABLE_TO", metavar="TO", help="a folder or a URL")
    ] = "",
    name: Annotated[str, typer.Option(envvar="TRYTABLE_NAME", help="one study; else all")] = "",
    runs: Runs = Path("runs"),
) -> None:
    """Carry studies from one database to another, and prove that they are the same there."""
    from trytable.orchestrator.commands.keep.move_storage import move_storage as carry  # noqa: PLC0415 - as in sweep

    if not carry(source, target, name, runs, Console()):
        raise typer.Exit(FAILED)


@app.command()
def check(name: Name = "", runs: Runs = Path("runs"), storage: Storage = "") -> None:
    """Check the database, and that nothing in a study (or in all) was lost or doubled."""
    from trytable.orchestrator.commands.look.check import check as holds  # noqa: PLC0415 - as in sweep

    folders = _study(name, runs, storage) if name else _place(runs, storage)
    if not holds(folders, Console()):
        raise typer.Exit(FAILED)


@app.command()
def dashboard(
    runs: Runs = Path("runs"),
    storage: Storage = "",
    port: Annotated[str, typer.Option(envvar="TRYTABLE_PORT", help="on 127.0.0.1")] = "",
    writable: Annotated[
        str, typer.Option(envvar="TRYTABLE_WRITABLE", help="1: allow changes")
    ] = "",
) -> None:
    """Open the Optuna dashboard on the studies, read-only unless asked otherwise."""
    from trytable.orchestrator.commands.look import report as verbs  # noqa: PLC0415 - as in sweep

    verbs.dashboard(
        _place(runs, storage),
        port=_number("PORT", port) or verbs.DASHBOARD_PORT,
        writable=_switch("WRITABLE", writable, default=False),
        console=Console(),
    )


def _overrides(data: str, model: str) -> dict[str, object]:
    given: dict[str, object] = {"data": {"name": data} if data else "", "model": model}
    return {key: value for key, value in given.items() if value}


def _place(runs: Path, storage: str) -> Folders:
    """The folder and the database of all studies."""
    try:
        return Folders(runs.resolve(), "", postgresql_url(storage) if storage else "")
    except ValueError as error:
        raise UserError(
            f"STORAGE: {error}. Allowed: postgresql://user@host:5432/database; without STORAGE "
            "studies lie in an SQLite file under RUNS."
        ) from error


def _study(name: str, runs: Path, storage: str) -> Folders:
    """The folders of a study that is to be read. A name is never a path."""
    if not _STUDY_NAME.fullmatch(name):
        raise UserError(
            f"NAME={name!r} is no study's name. Allowed are letters, digits and . _ - @, "
            "such as NAME=dropout."
        )
    return replace(_place(runs, storage), study=name)


def _exit_as(outcome: "SweepOutcome") -> None:
    """Exit with the code of a run that did not go well."""
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)
    if outcome.failed and not outcome.completed:
        raise typer.Exit(FAILED)


def _words(language: str) -> "Words":
    from trytable.results.text.catalog import LANGUAGES, Words  # noqa: PLC0415 - as in sweep

    found = next((one for one in LANGUAGES if one == (language or LANGUAGES[0])), None)
    if found is None:
        allowed = ", ".join(LANGUAGES)
        raise UserError(f"REPORT_LANG={language!r} is no language of reports. Allowed: {allowed}.")
    return Words(found)


def _all_tests(text: str) -> bool:
    if text not in ("", "all"):
        raise UserError(f"TEST={text!r}: allowed is all, which shows every test accuracy.")
    return text == "all"


def _decimal(name: str, text: str) -> float | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{name}={text!r} is not a number.") from None


def _number(name: str, text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise UserError(f"{name}={text!r} is not a whole number.")
    return int(text)


def _switch(name: str, text: str, default: bool) -> bool:
    if text not in ("", "0", "1"):
        raise UserError(f"{name}={text!r}: allowed are 0 and 1.")
    return text == "1" if text else default


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; a mistake of the user's is one paragraph and exit code 2."""
    from trytable.orchestrator.commands.terminal import user_errors  # noqa: PLC0415 - as in sweep

    try:
        with user_errors():
            app(arguments)
    except UserError as error:
        Console(stderr=True).print(Text(f"trytable: {error}"), soft_wrap=True)
        sys.exit(FAULT_OF_THE_USER)


if __name__ == "__main__":
    main()
