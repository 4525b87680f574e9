"""`trytable import`: turns the runs of a log into trials of a study, in two steps.

The first call writes a mapping file, in which the user completes what the log does not name; the
second imports by it. No setting is ever guessed.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from rich.console import Console
from rich.text import Text

from trytable.files import write_atomic
from trytable.orchestrator.commands.log_import.lines import read_line_items, sha256_of
from trytable.orchestrator.commands.log_import.mapping_file import (
    MappingEntry,
    issue_line,
    mapping_text,
    read_mapping,
)
from trytable.orchestrator.commands.log_import.runs import Block, BlockBuilder
from trytable.orchestrator.commands.log_import.trials import (
    ImportedTrial,
    Origin,
    frozen_trial,
    make_imported_trial,
    space_violations,
    spanning_distributions,
    trial_rows,
)
from trytable.orchestrator.commands.sweep_files import load_sweep, sweeps_folder
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders, display_path
from trytable.orchestrator.run.error_messages import as_user_errors
from trytable.orchestrator.study import search_space
from trytable.orchestrator.study.database import open_database
from trytable.orchestrator.study.locks import study_lock
from trytable.orchestrator.study.study import ensure_study_uid
from trytable.records import DEFAULT_OBJECTIVE, Objective, Scalar
from trytable.results.storage.ledger import STUDY_UID, Ledger
from trytable.results.storage.rows import StudyRow, TrialRow
from trytable.results.text.format import clean, one_line
from trytable.sweeps.config import loader
from trytable.trainers.script.logs.patterns import CustomPattern

MAPPING_FILE = "the mapping file"
"""The place of a setting that the user wrote into the mapping file."""

_MAX_STEM = 40
_MAX_HEADING = 60


@dataclass(frozen=True)
class ParsedLog:
    """A log's file, hash and blocks."""

    path: Path
    sha256: str
    blocks: tuple[Block, ...]


def import_log(
    log: str,
    folders: Folders,
    pattern: str,
    console: Console,
    *,
    report: Callable[[Folders], None],
) -> None:
    """Write a mapping file for the user to complete; if there is one, import by it and report.

    Args:
        log: the file.
        folders: the study to import into.
        pattern: a regular expression with named groups for lines of the user's own format.
        console: where the result is printed.
        report: writes the study's report.

    Raises UserError and SweepError.
    """
    parsed = read_log(log, pattern)
    sweep = _sweep_of(folders.study)
    mapping = folders.imports / f"{_file_stem(parsed.path)}-{parsed.sha256[:8]}.yaml"
    if not mapping.exists():
        swept = tuple(sweep.parameters) if sweep else ()
        text = mapping_text(parsed.path, parsed.sha256, folders.study, parsed.blocks, swept)
        write_atomic(mapping, text.encode())
        _print_blocks(parsed, mapping, folders.study, console)
        return
    entries = read_mapping(mapping, parsed.sha256, folders.study, parsed.blocks)
    console.print(Text(f"Importing by {display_path(mapping)}"), soft_wrap=True)
    with as_user_errors(folders):
        _import(parsed, entries, sweep, folders, console)
    report(folders)


def read_log(log: str, pattern: str = "") -> ParsedLog:
    """Return a log's blocks. Raises UserError if it has none, or cannot be a log."""
    if not log:
        raise UserError("LOG is missing. Use the file to import, such as LOG=train.log.")
    path = Path(log).absolute()
    patterns = _custom_patterns(pattern)
    sha256 = sha256_of(path)
    builder = BlockBuilder()
    with path.open("rb") as file:
        for item in read_line_items(path, file, patterns):
            builder.add(item)
    blocks = builder.finish()
    if not blocks:
        raise UserError(
            f"LOG={path}: no line has an epoch's loss or accuracy. Trytable reads lines such as "
            "`epoch 3: train loss :: 1.419, dev acc :: 0.383`, those of HF Trainer, Keras and "
            "Lightning, trainer_state.json, and CSV with a column `epoch`. For another format use "
            "PATTERN='epoch (?P<epoch>[0-9]+) .* (?P<dev_accuracy>[0-9.]+)'."
        )
    return ParsedLog(path, sha256, blocks)


def _custom_patterns(pattern: str) -> Sequence[CustomPattern]:
    try:
        return [CustomPattern(pattern)] if pattern else []
    except ValueError as error:
        raise UserError(f"PATTERN={pattern!r}: {error}.") from error


def _file_stem(path: Path) -> str:
    safe = "".join(char if char.isascii() and char.isalnum() else "-" for char in path.stem)
    return safe.strip("-")[:_MAX_STEM] or "log"


def _sweep_of(study: str) -> loader.Sweep | None:
    """Return the sweep of that name, whose search space the trials should fit, if there is one."""
    name = study.partition("@")[0]
    names = [path.stem for path in loader.list_sweeps(sweeps_folder())]
    return load_sweep(name) if name in names else None


def _print_blocks(log: ParsedLog, mapping: Path, study: str, console: Console) -> None:
    lines = sum(block.epoch_lines for block in log.blocks)
    title = f"{display_path(log.path)}: {_count(log.blocks, 'block')}, {lines} epoch lines"
    console.print(Text(title), soft_wrap=True)
    for block in log.blocks:
        settings = {name: setting.value for name, setting in sorted(block.settings.items())}
        heading = f" ({one_line(clean(block.heading))[:_MAX_HEADING]})" if block.heading else ""
        known = _pairs(settings) or "no settings found"
        text = f"  lines {block.span}{heading}: {_count(block.epochs, 'epoch')}; {known}"
        console.print(Text(text), soft_wrap=True)
        for issue in block.issues:
            console.print(Text(f"    {issue_line(issue)}", style="yellow"), soft_wrap=True)
    console.print()
    console.print(
        Text(
            f"Nothing is imported yet. Look at {display_path(mapping)}, fill in the settings that "
            f"were not found, and run the same make import again to import into the study {study}."
        ),
        soft_wrap=True,
    )


def _count(items: Sequence[object], word: str) -> str:
    return f"{len(items)} {word}{'' if len(items) == 1 else 's'}"


def _pairs(settings: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


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


def _import(
    log: ParsedLog,
    entries: Sequence[MappingEntry],
    sweep: loader.Sweep | None,
    folders: Folders,
    console: Console,
) -> None:
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
            f"optimizes {target.objective.name}. Import under another NAME."
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
            console.print(Text(text, style="yellow"), soft_wrap=True)
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
    console.print(Text(f"{text}: study {target.name}"), soft_wrap=True)


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
    console.print(Text(text), soft_wrap=True)


def _print_if_changed(
    trial: ImportedTrial, row: TrialRow | None, number: int, console: Console
) -> None:
    """Print a note if the mapping file has changed: Optuna cannot change a trial that ended."""
    if row is None or row.requested == dict(trial.parameters):
        return
    text = (
        f"  Try {number + 1}: lines {trial.block.span} were imported with other settings "
        f"({_pairs(row.requested) or 'none'}), which stay. Import under another NAME to change "
        "them."
    )
    console.print(Text(text, style="yellow"), soft_wrap=True)
