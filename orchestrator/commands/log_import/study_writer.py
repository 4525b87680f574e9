"""Writes the blocks that a mapping file names into a study, as completed trials."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from rich.console import Console

from trytable.orchestrator.commands.log_import.blocks import Block, ParsedLog
from trytable.orchestrator.commands.log_import.mapping_file import (
    MappingEntry,
    settings_line,
)
from trytable.orchestrator.commands.log_import.trials import (
    ImportedTrial,
    Origin,
    frozen_trial,
    make_imported_trial,
    space_violations,
    spanning_distributions,
    trial_rows,
)
from trytable.orchestrator.commands.terminal import print_line
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study import search_space
from trytable.orchestrator.study.database import open_database
from trytable.orchestrator.study.locks import identity_lock, study_lock
from trytable.orchestrator.study.trial_store import ensure_study_uid
from trytable.records import DEFAULT_OBJECTIVE, Objective, Scalar
from trytable.results.storage.ledger import STUDY_UID, Ledger
from trytable.results.storage.rows import StudyRow, TrialRow
from trytable.sweeps.config import loader

MAPPING_FILE = "the mapping file"
"""The place of a setting that the user wrote into the mapping file."""


@dataclass(frozen=True)
class _Target:
    """The study that is imported into; `sweep` is the sweep of its name, if there is one."""

    study: optuna.Study
    uid: str
    ledger: Ledger
    objective: Objective
    sweep: loader.Sweep | None

    @property
    def name(self) -> str:
        return self.study.study_name


def import_blocks(
    log: ParsedLog,
    entries: Sequence[MappingEntry],
    sweep: loader.Sweep | None,
    folders: Folders,
    console: Console,
) -> None:
    """Import the blocks of a log that `entries` name; blocks that the study has are skipped.

    Raises UserError if the study optimizes another objective, and StudyLocked.
    """
    with ExitStack() as stack:
        storage, ledger = stack.enter_context(open_database(folders))
        stack.enter_context(study_lock(folders))
        objective = sweep.objective if sweep else DEFAULT_OBJECTIVE
        study = optuna.create_study(
            storage=storage,
            study_name=folders.study,
            direction=objective.direction,
            load_if_exists=True,
        )
        uid = ensure_study_uid(study, objective.name)
        stack.enter_context(identity_lock(folders, uid))
        target = _Target(study, uid, ledger, objective, sweep)
        _check_objective(target)
        if uid not in {row.uid for row in ledger.studies()}:
            ledger.write(_study_row(target))
        _add_trials(target, _imported_trials(log, entries, target, console), console)


def _study_row(target: _Target) -> StudyRow:
    """Return the row of a study of imported trials alone, whose data and model are unknown."""
    sweep = {
        "name": target.name,
        "description": "tries that were run by hand, imported from logs",
        "objective": asdict(target.objective),
    }
    return StudyRow(target.uid, target.name, sweep, {"imported": True})


def _check_objective(target: _Target) -> None:
    """Raise UserError if the study optimizes another objective than its sweep does now."""
    rows = {row.uid: row for row in target.ledger.studies()}
    study_objective = target.objective
    if target.uid in rows:
        study_objective = Objective(**(rows[target.uid].sweep.get("objective") or {}))
    maximize = target.study.direction == StudyDirection.MAXIMIZE
    if study_objective != target.objective or maximize != target.objective.maximize:
        raise UserError(
            f"The study {target.name!r} optimizes {study_objective.name}, but its sweep now "
            f"optimizes {target.objective.name}. Import under another name."
        )


def _imported_trials(
    log: ParsedLog, entries: Sequence[MappingEntry], target: _Target, console: Console
) -> list[ImportedTrial]:
    blocks = {block.span: block for block in log.blocks}
    copies = _earlier_copies(log.blocks)
    trials = []
    for entry in entries:
        block = blocks[entry.span]
        places = _places(block, entry.parameters)
        trial = make_imported_trial(
            target.uid,
            block,
            Origin(str(log.path), log.sha256, block.span, block.heading, places),
            entry.parameters,
            objective=target.objective,
            copies=copies[entry.span],
        )
        if trial is None:
            text = f"  lines {entry.span}: skipped, no line has {target.objective.name}"
            print_line(console, text, style="yellow")
        else:
            trials.append(trial)
    return trials


def _earlier_copies(blocks: Sequence[Block]) -> dict[str, int]:
    """Return for each block, by its span, how many earlier ones have exactly the same numbers."""
    counts: Counter[str] = Counter()
    copies = {}
    for block in blocks:
        copies[block.span] = counts[block.fingerprint]
        counts[block.fingerprint] += 1
    return copies


def _places(block: Block, parameters: Mapping[str, Scalar]) -> dict[str, str]:
    """Return where each setting came from; a value that the log does not have is the user's."""
    return {
        name: block.settings[name].place
        if name in block.settings and block.settings[name].value == value
        else MAPPING_FILE
        for name, value in parameters.items()
    }


def _add_trials(target: _Target, trials: Sequence[ImportedTrial], console: Console) -> None:
    """Write the trials that the study does not have yet.

    The ledger is written first and then Optuna, as in a sweep: a crash between the two leaves rows
    that the next import writes again, and no trial of Optuna's without its rows.
    """
    stored = target.study.get_trials(deepcopy=False)
    stored_by_uid = {trial.user_attrs.get(STUDY_UID): trial for trial in stored}
    rows = {row.uid: row for row in target.ledger.read(target.uid).trials}
    distributions = _distributions(target, trials)
    number, added = len(stored), 0
    for trial in trials:
        if trial.uid in stored_by_uid:
            number_before = stored_by_uid[trial.uid].number
            _print_if_changed(trial, rows.get(trial.uid), number_before, console)
            continue
        target.ledger.write(*trial_rows(trial, target.uid, number, target.objective.name))
        target.study.add_trial(frozen_trial(trial, distributions, target.objective.name))
        _print_added(trial, number, target.sweep, console)
        number, added = number + 1, added + 1
    existing = len(trials) - added
    text = f"{added} imported" + (f", {existing} imported before" if existing else "")
    print_line(console, f"{text}: study {target.name}")


def _distributions(
    target: _Target, trials: Sequence[ImportedTrial]
) -> Mapping[str, BaseDistribution]:
    if target.sweep is not None:
        return search_space.distributions(target.sweep)
    return spanning_distributions(trial.parameters for trial in trials)


def _print_added(
    trial: ImportedTrial, number: int, sweep: loader.Sweep | None, console: Console
) -> None:
    violations = space_violations(sweep, trial.parameters) if sweep else ()
    note = f"; the sampler does not start from it: {', '.join(violations)}" if violations else ""
    text = f"  Try {number + 1}: lines {trial.block.span}, {trial.value:.3f}{note}"
    print_line(console, text)


def _print_if_changed(
    trial: ImportedTrial, row: TrialRow | None, number: int, console: Console
) -> None:
    """Print a note if the mapping file has changed: Optuna cannot change a trial that ended."""
    if row is None or row.requested == dict(trial.parameters):
        return
    settings = settings_line(row.requested) or "none"
    text = (
        f"  Try {number + 1}: lines {trial.block.span} were imported with other settings "
        f"({settings}), which stay. Import under another name to change them."
    )
    print_line(console, text, style="yellow")
