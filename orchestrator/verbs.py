"""What each verb of the command line does."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

import sweeps as sweeps_room
from orchestrator import confirming
from orchestrator.changes import first_free
from orchestrator.engines import Asked, engine
from orchestrator.errors import UserError
from orchestrator.folders import Folders
from orchestrator.new_files import shown
from orchestrator.screen import print_table
from orchestrator.sweep import Outcome, run_sweep
from results.confirmation import SUFFIX
from results.dashboard import PortTaken, serve
from results.formats import FORMATS, write_tables
from results.judged import Judged, judge
from results.language import ENGLISH, Words
from results.pairs import FILE as PAIRS
from results.pairs import pairs_table
from results.pictures import pictures, write_pictures
from results.records import StudyResult
from results.report import write_report
from results.storage import DatabaseUnreadable, StudyNotFound, is_made
from results.study import list_studies, read_confirmation, read_study
from results.summary import summary
from results.table import try_table
from results.verdict import confirmed, verdict
from sweeps import spec
from trainers.protocol import TRAINERS

DASHBOARD_PORT = 8080


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn the other rooms' errors that the person can mend into UserError."""
    try:
        yield
    except (spec.SweepError, StudyNotFound, DatabaseUnreadable, PortTaken) as error:
        raise UserError(str(error)) from error
    except OSError as error:
        if error.errno is None:
            raise
        where = error.filename or "A file could not be written"
        raise UserError(f"{where}: {error.strerror}.") from error


def sweeps_folder() -> Path:
    """`sweeps/` of the folder one stands in, else the one that came with Trytable."""
    here = Path("sweeps")
    return here if here.is_dir() else Path(sweeps_room.__file__).parent


@dataclass(frozen=True)
class Reading:
    """How reports are to be read: their language, and whether every test accuracy is shown."""

    words: Words = ENGLISH
    all_tests: bool = False


def sweep(
    *,
    name: str,
    place: Folders,
    overrides: Mapping[str, object],
    asked: Asked,
    retry_failed: bool,
    as_new: bool,
    reading: Reading,
    console: Console,
) -> Outcome:
    """Run a sweep, then write its reports and print its Try table.

    `dropout@2` is the second study of the sweep `dropout`; `as_new` starts the next one. `place`
    is the folder and database of all studies.
    """
    if name.endswith(SUFFIX):
        raise UserError(
            f"{name} confirms another study: make confirm NAME={name.removesuffix(SUFFIX)} goes on "
            "with it."
        )
    file_name, at, _ = name.partition("@")
    found = spec.read_sweep(spec.find_sweep(sweeps_folder(), file_name), TRAINERS, overrides)
    folders = replace(place, study=_new_name(found.name, place) if as_new else name)
    with engine(asked, console) as ready:
        outcome = run_sweep(
            found,
            folders,
            ready.slots(found.max_per_gpu),
            console,
            retry_failed=retry_failed,
            any_study=not (at or as_new),
            as_new=as_new,
            start_backend=ready.start,
        )
    report(replace(folders, study=outcome.study), console, reading)
    return outcome


def confirm(
    folders: Folders,
    *,
    top: int,
    seeds: int,
    asked: Asked,
    retry_failed: bool,
    reading: Reading,
    console: Console,
) -> Outcome:
    """Train a study's leaders again on fresh seeds, then report on both studies."""
    with engine(asked, console) as ready:
        outcome = confirming.confirm(
            folders,
            top,
            seeds,
            ready.slots,
            console,
            retry_failed=retry_failed,
            start_backend=ready.start,
        )
    report(replace(folders, study=outcome.study), console, reading)
    report(folders, console, reading)
    return outcome


def _new_name(name: str, place: Folders) -> str:
    """A name that no study there has."""
    return first_free(name, list_studies(place.url) if is_made(place.url) else ())


def report(folders: Folders, console: Console, reading: Reading = Reading()) -> None:
    """Write the reports, the pictures and the tables of a study, and print its Try table."""
    words = reading.words
    study, judged = _judged(folders, words)
    table = try_table(study, words, judged=judged, all_tests=reading.all_tests)
    drawn = pictures(study, words, judged)
    paths = [
        *write_report(
            study, folders.home, words, judged=judged, drawn=drawn, all_tests=reading.all_tests
        ),
        *write_pictures(drawn, folders.home / "pictures"),
        *write_tables(table, folders.tables),
        *write_tables(pairs_table(study, judged.comparison, words), folders.tables, stem=PAIRS),
    ]
    console.print()
    print_table(table, console)
    told = [summary(study, words), *verdict(study, judged, words)]
    for sentences in (told, confirmed(study, judged.confirmation, words)):
        if sentences:
            console.print()
            console.print(Text(words.paragraph(sentences)))
    console.print()
    _print_paths(paths, console)


def export(folders: Folders, formats: str, console: Console, reading: Reading) -> None:
    """Write a study's Try table in the formats named, separated by commas; all by default."""
    wanted = [part.strip() for part in formats.split(",") if part.strip()] or list(FORMATS)
    study, judged = _judged(folders, reading.words)
    table = try_table(study, reading.words, judged=judged, all_tests=reading.all_tests)
    try:
        pairs = pairs_table(study, judged.comparison, reading.words)
        paths = [
            *write_tables(table, folders.tables, wanted),
            *write_tables(pairs, folders.tables, wanted, PAIRS),
        ]
    except ValueError as error:
        raise UserError(str(error)) from error
    _print_paths(paths, console)


def _judged(folders: Folders, words: Words) -> tuple[StudyResult, Judged]:
    study = read_study(folders.url, folders.study)
    gc.freeze()  # half a million records, of which none is ever garbage before the verb ends
    return study, judge(study, words.language, read_confirmation(folders.url, study))


def dashboard(folders: Folders, port: int, writable: bool, console: Console) -> None:
    """Serve the Optuna dashboard on this machine until Ctrl-C."""
    mode = "changes are allowed" if writable else "read-only; WRITABLE=1 allows changes"
    console.print(Text(f"Optuna dashboard on http://127.0.0.1:{port}/ ({mode}); Ctrl-C ends it."))
    serve(folders.url, port, writable)


def list_sweeps(console: Console) -> None:
    """Print every sweep with what it varies; a file that cannot be read is listed as such."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("sweep", "varies", "sampler", "pruner", "about"):
        table.add_column(heading, overflow="fold")
    table.add_column("tries", justify="right")
    for path in spec.list_sweeps(sweeps_folder()):
        table.add_row(*(Text(cell) for cell in _listed(path)))
    console.print(table)


def _listed(path: Path) -> Sequence[str]:
    try:
        found = spec.read_sweep(path, TRAINERS)
    except spec.SweepError as error:
        return (path.stem, "", "", "", str(error), "")
    tries = found.trials or len(spec.grid_points(found))
    varied = ", ".join(found.parameters)
    about = found.description
    return (found.name, varied, found.sampler.name, found.pruner.name, about, str(tries))


def _print_paths(paths: Sequence[Path], console: Console) -> None:
    for path in paths:
        console.print(Text(shown(path)), soft_wrap=True)
