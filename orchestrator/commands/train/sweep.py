"""The verbs that train: sweep and confirm."""

from collections.abc import Mapping
from dataclasses import replace

from rich.console import Console

from trytable.orchestrator.commands.look.report import Reading, report
from trytable.orchestrator.commands.sweep_files import sweeps_folder
from trytable.orchestrator.commands.train import confirm as confirming
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.engine import EngineOptions, open_engine
from trytable.orchestrator.run.sweep import SweepOutcome, run_sweep
from trytable.orchestrator.study.compatibility import first_free_name
from trytable.results.analysis.confirmation import CONFIRM_SUFFIX
from trytable.results.storage.engine import database_exists
from trytable.results.storage.reader import list_studies
from trytable.sweeps.config import loader
from trytable.trainers.protocol.messages import TRAINERS


def sweep(
    *,
    name: str,
    place: Folders,
    overrides: Mapping[str, object],
    engine_options: EngineOptions,
    retry_failed: bool,
    as_new: bool,
    reading: Reading,
    console: Console,
) -> SweepOutcome:
    """Run a sweep, then write its reports and print its Try table.

    `dropout@2` is the second study of the sweep `dropout`; `as_new` starts the next one. `place`
    is the folder and database of all studies.
    """
    if name.endswith(CONFIRM_SUFFIX):
        raise UserError(
            f"{name} confirms another study: make confirm NAME={name.removesuffix(CONFIRM_SUFFIX)} "
            "goes on with it."
        )
    file_name, at, _ = name.partition("@")
    found = loader.read_sweep(loader.find_sweep(sweeps_folder(), file_name), TRAINERS, overrides)
    folders = replace(place, study=_new_name(found.name, place) if as_new else name)
    with open_engine(engine_options, console) as ready:
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
    engine_options: EngineOptions,
    retry_failed: bool,
    reading: Reading,
    console: Console,
) -> SweepOutcome:
    """Train a study's leaders again on fresh seeds, then report on both studies."""
    with open_engine(engine_options, console) as ready:
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
    return first_free_name(name, list_studies(place.url) if database_exists(place.url) else ())
