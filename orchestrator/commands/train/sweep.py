"""`trytable sweep`: runs a sweep, or the rest of one, and reports on its study."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from rich.console import Console

from trytable.orchestrator.commands.sweep_files import load_sweep
from trytable.orchestrator.commands.terminal import print_line
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.log.run_log import logged_run
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.engine import EngineOptions, open_engine
from trytable.orchestrator.run.sweep import SweepOutcome, run_sweep
from trytable.orchestrator.study.compatibility import first_free_name
from trytable.orchestrator.study.sampling.kinds import missing_plugins
from trytable.results.storage.engine import DatabaseUnreadable, StudyNotFound, database_exists
from trytable.results.storage.reader import list_studies, read_study
from trytable.results.storage.study import CONFIRM_SUFFIX
from trytable.spelling import command
from trytable.sweeps.config.messages import SweepError


def train_sweep(
    name: str,
    all_studies: Folders,
    overrides: Mapping[str, object],
    engine_options: EngineOptions,
    *,
    retry_failed: bool,
    as_new: bool,
    report: Callable[[Folders], None],
    console: Console,
) -> SweepOutcome:
    """Run a sweep, then call `report` with the study that it ran in.

    Args:
        name: the sweep; `dropout@2` is its second study.
        all_studies: the folder and the database of all studies.
        overrides: settings that replace those of the sweep file.
        engine_options: where the trials run.
        retry_failed: whether failed points are tried again.
        as_new: start the sweep's next study, even if an earlier one fits.
        report: writes a study's report.
        console: where progress is printed.

    Raises UserError and SweepError.
    """
    if name.endswith(CONFIRM_SUFFIX):
        search = name.removesuffix(CONFIRM_SUFFIX)
        raise UserError(
            f"{name} confirms another study. Use {command('confirm', NAME=search)} to continue it."
        )
    file_name, at, _ = name.partition("@")
    try:
        sweep = load_sweep(file_name, overrides)
    except SweepError as error:
        missing = _missing_plugins(replace(all_studies, study=name))
        raise UserError("\n".join([str(error), *missing])) from error
    folders = replace(all_studies, study=_new_name(sweep.name, all_studies) if as_new else name)
    with open_engine(engine_options, console) as ready:
        outcome = run_sweep(
            sweep,
            folders,
            ready.slots(sweep.max_per_gpu),
            console,
            retry_failed=retry_failed,
            any_study=not (at or as_new),
            as_new=as_new,
            start_backend=ready.start,
        )
    folders = replace(folders, study=outcome.study)
    with logged_run(folders.log, partial(print_line, console)):
        report(folders)
    return outcome


def _missing_plugins(folders: Folders) -> list[str]:
    """Return a sentence for each plug-in that the study has and this installation lacks."""
    try:
        facts = read_study(folders.url, folders.study).facts
    except (StudyNotFound, DatabaseUnreadable):
        return []
    return list(missing_plugins(folders.study, facts))


def _new_name(name: str, all_studies: Folders) -> str:
    """Return the sweep's name, or the first of NAME@2, NAME@3, ... that no study has."""
    names = list_studies(all_studies.url) if database_exists(all_studies.url) else ()
    return first_free_name(name, names)
