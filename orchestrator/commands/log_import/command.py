"""`trytable import`: turns the runs of a log into trials of a study, in two steps.

The first call writes a mapping file, in which the user completes what the log does not name; the
second imports by it. No setting is ever guessed.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from trytable.files import write_atomic
from trytable.orchestrator.commands.locations import sweeps_folder
from trytable.orchestrator.commands.log_import.blocks import ParsedLog
from trytable.orchestrator.commands.log_import.lines import read_line_items, sha256_of
from trytable.orchestrator.commands.log_import.mapping_file import (
    issue_line,
    mapping_text,
    read_mapping,
    settings_line,
)
from trytable.orchestrator.commands.log_import.runs import BlockBuilder
from trytable.orchestrator.commands.log_import.study_writer import import_blocks
from trytable.orchestrator.commands.sweep_files import load_sweep
from trytable.orchestrator.commands.terminal import print_line
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders, display_path
from trytable.orchestrator.run.error_messages import as_user_errors
from trytable.results.text.format import clean, one_line
from trytable.spelling import echo, label, setting
from trytable.sweeps.config import loader
from trytable.trainers.script.logs.patterns import CustomPattern

_MAX_STEM = 40
_MAX_HEADING = 60


def import_log(
    log: Path | None,
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
    print_line(console, f"Importing by {display_path(mapping)}")
    with as_user_errors(folders):
        import_blocks(parsed, entries, sweep, folders, console)
    report(folders)


def read_log(log: Path | None, pattern: str = "") -> ParsedLog:
    """Return a log's blocks. Raises UserError if it has none, or cannot be a log."""
    if log is None:
        raise UserError(
            f"{label('LOG')} is missing. Use the file to import, such as "
            f"{setting('LOG', 'train.log')}."
        )
    path = log.absolute()
    patterns = _custom_patterns(pattern)
    sha256 = sha256_of(path)
    builder = BlockBuilder()
    with path.open("rb") as file:
        for item in read_line_items(path, file, patterns):
            builder.add(item)
    blocks = builder.finish()
    if not blocks:
        raise UserError(
            f"{setting('LOG', path)}: no line has an epoch's loss or accuracy. Trytable reads "
            "lines such as `epoch 3: train loss :: 1.419, dev acc :: 0.383`, those of HF Trainer, "
            "Keras and Lightning, trainer_state.json, and CSV with a column `epoch`. For another "
            "format use "
            + setting("PATTERN", "'epoch (?P<epoch>[0-9]+) .* (?P<dev_accuracy>[0-9.]+)'.")
        )
    return ParsedLog(path, sha256, blocks)


def _custom_patterns(pattern: str) -> Sequence[CustomPattern]:
    try:
        return [CustomPattern(pattern)] if pattern else []
    except ValueError as error:
        raise UserError(f"{echo('PATTERN', pattern)}: {error}.") from error


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
    print_line(console, title)
    for block in log.blocks:
        settings = {name: setting.value for name, setting in sorted(block.settings.items())}
        heading = f" ({one_line(clean(block.heading))[:_MAX_HEADING]})" if block.heading else ""
        pairs = settings_line(settings) or "no settings found"
        text = f"  lines {block.span}{heading}: {_count(block.epochs, 'epoch')}; {pairs}"
        print_line(console, text)
        for issue in block.issues:
            print_line(console, f"    {issue_line(issue)}", style="yellow")
    console.print()
    print_line(
        console,
        f"Nothing is imported yet. Look at {display_path(mapping)}, fill in the settings that "
        f"were not found, and run the same command again to import into the study {study}.",
    )


def _count(items: Sequence[object], word: str) -> str:
    return f"{len(items)} {word}{'' if len(items) == 1 else 's'}"
