"""Checks what a sweep file says of a script: its command, and that every parameter reaches it."""

import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import PurePath

import regex

from trytable.sweeps.config.knobs import FreeKnobs, Knobs, free_names
from trytable.sweeps.config.messages import listed, show, unknown
from trytable.sweeps.config.records import Script
from trytable.sweeps.config.schema import ScriptForm, SweepFile
from trytable.sweeps.config.validation import mapping
from trytable.sweeps.config.yaml_source import Document

PLACE = re.compile(r"\{\{[\w.+~/-]+\}\}|\{([A-Za-z_+~][\w.+~/-]*)\}")
"""`{name}` is filled in; `{{name}}` is `{name}` itself; other braces stay as they are."""

OURS = ("params", "config", "seed", "out", "device", "python")
"""What is filled in besides parameters. A parameter named seed takes the study's seed's place."""

FILES = ("json", "yaml", "toml")
_SUFFIXES = (".json", ".yaml", ".yml", ".toml")


def literal(text: str) -> str:
    """A text such that filling it in gives it back as it is, braces and all."""
    return PLACE.sub(r"{\g<0>}", text)


def check_script(document: Document, form: SweepFile, knobs: Knobs) -> Script | None:
    """The script of a sweep; None for a trainer that runs none, or with the mistakes noted."""
    if not isinstance(knobs, FreeKnobs):
        for key in ScriptForm.model_fields:
            if key in document.data:
                document.complain((key,), "belongs to trainer script alone.")
        return None
    before = len(document.problems)
    words = _words(document, form)
    if words:
        _check_names(document, form, words, knobs.names)
        _check_places(document, form, words)
    _check_patterns(document, form)
    return _script(form, words) if len(document.problems) == before else None


def _script(form: SweepFile, words: list[str]) -> Script:
    return Script(
        command=tuple(words),
        style=form.style,
        switches=tuple(form.switches),
        cwd=form.cwd,
        env=form.env,
        config=form.config,
        patterns=tuple(form.metrics.patterns),
        metrics_file=form.metrics.file,
        observe=form.observe,
        no_progress_minutes=form.no_progress_minutes,
        grace_seconds=form.grace_seconds,
    )


def _words(document: Document, form: SweepFile) -> list[str]:
    """The command's words; a text is split once by a shell's rules, and no shell sees it."""
    if form.command is None:
        document.complain(
            ("command",),
            "is missing. Trainer script needs it, such as `[python, train.py, --lr, '{lr}']`.",
        )
        return []
    try:
        given = shlex.split(form.command) if isinstance(form.command, str) else form.command
    except ValueError as error:
        document.complain(("command",), f"{show(form.command)} cannot be split: {error}.")
        return []
    words = []
    for index, one in enumerate(given):
        if not isinstance(one, str | int) or isinstance(one, bool):
            text = f"{show(one)} is not allowed: quote it, so that it arrives as it is written."
            document.complain(("command", index), text)
        words.append(str(one))
    if not words or not words[0]:
        document.complain(("command",), "names no program.")
    elif any("\0" in word for word in words):
        document.complain(("command",), "holds a NUL, which no command can be given.")
    return words


def places(texts: Iterable[str]) -> Iterator[str]:
    """The names in braces of texts."""
    for text in texts:
        yield from (found[1] for found in PLACE.finditer(text) if found[1])


def _check_names(
    document: Document, form: SweepFile, words: list[str], names: tuple[str, ...]
) -> None:
    """Every name in braces is known, and every parameter reaches the command."""
    for name in sorted({"params", "config", "out", "device", "python"}.intersection(names)):
        part = "parameters" if name in mapping(document.data, "parameters") else "baseline"
        document.complain((part, name), f"{{{name}}} is Trytable's own. Give it another name.")
    around = [*form.env.values(), form.cwd, form.metrics.file or ""]
    for key, texts in (("command", words), ("env", around)):
        for name in places(texts):
            if name not in names and (name not in OURS or (key == "env" and name in OURS[:2])):
                allowed = [*names, *(OURS if key == "command" else OURS[2:])]
                document.complain((key,), unknown("place that can be filled in", name, allowed))
    used = {*places([*words, *around]), *form.switches}
    if used & {"params", "config"}:
        return
    for part in ("baseline", "parameters"):
        for name in mapping(document.data, part):
            if name in names and name not in used:
                document.complain(
                    (part, name),
                    f"the command never uses it. Put {{{name}}} where its value belongs, or "
                    "{params} where all that are left belong.",
                )


def _check_places(document: Document, form: SweepFile, words: list[str]) -> None:
    """What stands for several parameters fits its place and its style."""
    used = set(places(words))
    if {"params", "config"} <= used:
        document.complain(("command",), "{params} and {config} exclude each other.")
    if ("config" in used) != (form.config is not None):
        document.complain(
            ("config",), "config: FILE and {config} in the command belong together; one is missing."
        )
    if form.config is not None and PurePath(form.config).suffix not in _SUFFIXES:
        document.complain(
            ("config",),
            f"{show(form.config)} is of no known format. Allowed: files ending in "
            f"{listed(_SUFFIXES)}.",
        )
    if form.style not in FILES and any("{params}" in one and one != "{params}" for one in words):
        document.complain(
            ("command",),
            f"{{params}} becomes several words in style {show(form.style)}, so it must be a word "
            "of its own.",
        )
    for index, name in enumerate(form.switches):
        if "params" not in used or form.style in FILES:
            document.complain(
                ("switches", index), "switches need {params} in a style other than a file's."
            )
        elif name not in free_names(document):
            document.complain(("switches", index), unknown("parameter", name, free_names(document)))


def _check_patterns(document: Document, form: SweepFile) -> None:
    for index, pattern in enumerate(form.metrics.patterns):
        key = ("metrics", "patterns", index)
        try:
            groups = regex.compile(pattern).groupindex
        except regex.error as error:
            document.complain(key, f"{show(pattern)} is no regular expression: {error}.")
            continue
        if not set(groups) - {"epoch", "step"}:
            document.complain(
                key,
                f"{show(pattern)} names no metric. Name what it finds, as in "
                r"`loss=(?P<val_loss>\S+)`.",
            )
