"""`trytable import`: a log's runs become tries of a study, in two steps."""

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

from trytable.orchestrator.commands.log_import.lines import read_items, sha256_of
from trytable.orchestrator.commands.log_import.mapping_file import (
    Wanted,
    mapping_text,
    read_mapping,
    told,
)
from trytable.orchestrator.commands.log_import.runs import Block, Blocks
from trytable.orchestrator.commands.log_import.trials import (
    Adopted,
    Origin,
    adopt,
    frozen_trial,
    outside_of,
    rows_of,
    spanning,
)
from trytable.orchestrator.commands.sweep_files import sweeps_folder
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
from trytable.trainers.protocol.messages import TRAINERS
from trytable.trainers.script.logs.patterns import CustomPattern

BY_HAND = "the mapping file"
"""Where a setting came from that the person has written there."""


@dataclass(frozen=True)
class Log:
    """A log that was read: its file, hash and blocks."""

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
    """The first run writes a mapping file for the person to complete, the next imports by it.

    Raises UserError and SweepError for all that the person can mend.
    """
    found = read_log(log, pattern)
    sweep = _sweep(folders.study)
    mapping = folders.imports / f"{_stem(found.path)}-{found.sha256[:8]}.yaml"
    if not mapping.exists():
        text = mapping_text(
            found.path, found.sha256, folders.study, found.blocks,
            tuple(sweep.parameters) if sweep else (),
        )  # fmt: skip
        _write(mapping, text)
        _tell_first(found, mapping, folders.study, console)
        return
    wanted = read_mapping(mapping, found.sha256, folders.study, found.blocks)
    console.print(Text(f"Importing by {display_path(mapping)}"), soft_wrap=True)
    with as_user_errors(folders):
        _import(found, wanted, sweep, folders, console)
    report(folders)


def read_log(log: str, pattern: str = "") -> Log:
    """Read a log's blocks. Raises UserError where there is none."""
    if not log:
        raise UserError("Say which log, as in LOG=train.log.")
    path = Path(log).absolute()
    own = _own(pattern)
    sha256 = sha256_of(path)
    blocks = Blocks()
    with path.open("rb") as file:
        for item in read_items(path, file, own):
            blocks.take(item)
    found = blocks.finish()
    if not found:
        raise UserError(
            f"LOG={path}: no line tells an epoch's loss or accuracy. Known are lines such as "
            "`epoch 3: train loss :: 1.419, dev acc :: 0.383`, those of HF Trainer, Keras and "
            "Lightning, trainer_state.json, and CSV with a column `epoch`; PATTERN='epoch "
            "(?P<epoch>[0-9]+) .* (?P<dev_accuracy>[0-9.]+)' reads others."
        )
    return Log(path, sha256, found)


def _own(pattern: str) -> Sequence[CustomPattern]:
    try:
        return [CustomPattern(pattern)] if pattern else []
    except ValueError as error:
        raise UserError(f"PATTERN={pattern!r}: {error}.") from error


def _stem(path: Path) -> str:
    kept = "".join(char if char.isascii() and char.isalnum() else "-" for char in path.stem)
    return kept.strip("-")[:40] or "log"


def _sweep(study: str) -> loader.Sweep | None:
    """The sweep of that name, whose space the tries should fit; None where there is none."""
    name, folder = study.partition("@")[0], sweeps_folder()
    if folder / f"{name}.yaml" not in loader.list_sweeps(folder):
        return None
    return loader.read_sweep(folder / f"{name}.yaml", TRAINERS)


def _write(path: Path, text: str) -> None:
    """Write the file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".unfinished")
    half.write_text(text, encoding="utf-8")
    half.replace(path)


def _tell_first(log: Log, mapping: Path, study: str, console: Console) -> None:
    lines = sum(block.epoch_lines for block in log.blocks)
    console.print(
        Text(f"{display_path(log.path)}: {_count(log.blocks, 'block')}, {lines} epoch lines"),
        soft_wrap=True,
    )
    for block in log.blocks:
        known = ", ".join(f"{name} {one.value}" for name, one in sorted(block.given.items()))
        heading = f" ({one_line(clean(block.heading))[:60]})" if block.heading else ""
        settings = known or "no settings found"
        text = f"  lines {block.span}{heading}: {_count(block.epochs, 'epoch')}; {settings}"
        console.print(Text(text), soft_wrap=True)
        for odd in block.oddities:
            console.print(Text(f"    {told(odd)}", style="yellow"), soft_wrap=True)
    console.print()
    console.print(
        Text(
            f"Nothing is imported yet. Look at {display_path(mapping)}, fill in the settings that "
            "nobody gave, and run the same make import again: it then imports into the study "
            f"{study}."
        ),
        soft_wrap=True,
    )


def _count(things: Sequence[object], word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"


@dataclass(frozen=True)
class _Target:
    """The study that is imported into."""

    study: optuna.Study
    uid: str
    ledger: Ledger
    objective: Objective
    sweep: loader.Sweep | None


def _import(
    log: Log,
    wanted: Sequence[Wanted],
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
        adopted = _adopted(log, wanted, target, console)
        _add(target, adopted, console)


def _study_row(target: _Target) -> StudyRow:
    """A study of imported tries alone: its data and model are unknown until a sweep goes on."""
    described = {
        "name": target.study.study_name,
        "description": "tries that were run by hand, imported from logs",
        "objective": asdict(target.objective),
    }
    return StudyRow(target.uid, target.study.study_name, described, {"imported": True})


def _check_objective(target: _Target) -> None:
    """Raise UserError where the study is after another metric than what is imported for it."""
    rows = {row.uid: row for row in target.ledger.studies()}
    kept = rows[target.uid].sweep.get("objective") if target.uid in rows else None
    then = Objective(**(kept or {})) if kept or target.uid in rows else target.objective
    maximize = target.study.direction == StudyDirection.MAXIMIZE
    if then != target.objective or maximize != target.objective.maximize:
        raise UserError(
            f"The study {target.study.study_name!r} is after {then.name}, and the sweep of that "
            f"name now after {target.objective.name}. Import under another NAME."
        )


def _adopted(
    log: Log, wanted: Sequence[Wanted], target: _Target, console: Console
) -> list[Adopted]:
    blocks = {block.span: block for block in log.blocks}
    seen: Counter[str] = Counter()
    copies = {}
    for block in log.blocks:
        copies[block.span] = seen[block.fingerprint]
        seen[block.fingerprint] += 1
    found = []
    for entry in wanted:
        block = blocks[entry.span]
        origin = Origin(
            str(log.path), log.sha256, block.span, block.heading, _places(block, entry.parameters)
        )
        one = adopt(
            target.uid,
            block,
            origin,
            entry.parameters,
            objective=target.objective,
            copies=copies[entry.span],
        )
        if one is None:
            text = f"  lines {entry.span}: left out, no line tells {target.objective.name}"
            console.print(Text(text, style="yellow"), soft_wrap=True)
        else:
            found.append(one)
    return found


def _places(block: Block, parameters: Mapping[str, Scalar]) -> dict[str, str]:
    """Where each setting came from; what differs from the log was written by the person."""
    return {
        name: block.given[name].place
        if name in block.given and block.given[name].value == value
        else BY_HAND
        for name, value in parameters.items()
    }


def _add(target: _Target, adopted: Sequence[Adopted], console: Console) -> None:
    """Write what is not there yet: the ledger first, then Optuna, as a sweep does."""
    trials = target.study.get_trials(deepcopy=False)
    there = {trial.user_attrs.get(STUDY_UID): trial for trial in trials}
    rows = {row.uid: row for row in target.ledger.read(target.uid).trials}
    distributions = _distributions(target, adopted)
    number, added = len(trials), 0
    for one in adopted:
        if one.uid in there:
            _tell_there(one, rows.get(one.uid), there[one.uid].number, console)
            continue
        target.ledger.write(*rows_of(one, target.uid, number, target.objective.name))
        target.study.add_trial(frozen_trial(one, distributions, target.objective.name))
        _tell_added(one, number, target.sweep, console)
        number, added = number + 1, added + 1
    known = len(adopted) - added
    text = f"{added} imported" + (f", {known} were there already" if known else "")
    console.print(Text(f"{text}: study {target.study.study_name}"), soft_wrap=True)


def _distributions(target: _Target, adopted: Sequence[Adopted]) -> Mapping[str, BaseDistribution]:
    if target.sweep is not None:
        return search_space.distributions(target.sweep)
    return spanning(one.parameters for one in adopted)


def _tell_added(one: Adopted, number: int, sweep: loader.Sweep | None, console: Console) -> None:
    why = outside_of(sweep, one.parameters) if sweep else ()
    note = f"; the sampler does not start from it: {', '.join(why)}" if why else ""
    text = f"  Try {number + 1}: lines {one.block.span}, {one.value:.3f}{note}"
    console.print(Text(text), soft_wrap=True)


def _tell_there(one: Adopted, row: TrialRow | None, number: int, console: Console) -> None:
    """A try that ended keeps its settings in Optuna: a change to the mapping comes too late."""
    if row is None or row.requested == dict(one.parameters):
        return
    text = (
        f"  Try {number + 1}: lines {one.block.span} were imported with other settings "
        f"({_pairs(row.requested)}), which stay. Import under another NAME to change them."
    )
    console.print(Text(text, style="yellow"), soft_wrap=True)


def _pairs(settings: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items()) or "none"
