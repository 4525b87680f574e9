"""Checks a sweep's script: its command, and that every parameter reaches it."""

import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import PurePath

import regex

from trytable.records import LaunchSettings
from trytable.sweeps.config.form import ScriptForm, free_names
from trytable.sweeps.config.knobs import Knobs
from trytable.sweeps.config.messages import join_words, show, unknown
from trytable.sweeps.config.yaml_source import Document

PLACEHOLDER = re.compile(r"\{\{[\w.+~/-]+\}\}|\{([A-Za-z_+~][\w.+~/-]*)\}")
"""`{name}` is filled in; `{{name}}` becomes `{name}`; other braces stay as they are."""

RESERVED = ("params", "config", "seed", "out", "device", "python")
"""What is filled in besides parameters. A parameter named seed replaces the study's seed."""

FILE_STYLES = ("json", "yaml", "toml")
_SUFFIXES = (".json", ".yaml", ".yml", ".toml")


def literal(text: str) -> str:
    """The text with its placeholders escaped, so that filling it in gives the text itself."""
    return PLACEHOLDER.sub(r"{\g<0>}", text)


def placeholders(texts: Iterable[str]) -> Iterator[str]:
    """The names in braces in the texts."""
    for text in texts:
        yield from (match[1] for match in PLACEHOLDER.finditer(text) if match[1])


def check_script(document: Document, form: ScriptForm, knobs: Knobs) -> LaunchSettings | None:
    """The script of a sweep; None for a trainer that runs none, or with the mistakes noted."""
    if not knobs.is_free:
        for key in ScriptForm.model_fields:
            if key in document.data:
                document.complain((key,), "is a key of trainer script only.")
        return None
    problems_before = len(document.problems)
    words = _words(document, form)
    if words:
        _check_names(document, form, words, knobs.names)
        _check_placeholders(document, form, words)
    _check_patterns(document, form)
    if len(document.problems) > problems_before:
        return None
    return LaunchSettings(
        command=tuple(words),
        switches=tuple(form.switches),
        patterns=tuple(form.metrics.patterns),
        metrics_file=form.metrics.file,
        **form.model_dump(exclude={"command", "switches", "metrics"}),
    )


def _words(document: Document, form: ScriptForm) -> list[str]:
    """The command's words; a text is split once by a shell's rules, and no shell sees it."""
    if form.command is None:
        document.complain(
            ("command",),
            "is missing. Trainer script needs it, such as `[python, train.py, --lr, '{lr}']`.",
        )
        return []
    try:
        parts = shlex.split(form.command) if isinstance(form.command, str) else form.command
    except ValueError as error:
        document.complain(("command",), f"{show(form.command)} cannot be split: {error}.")
        return []
    words = []
    for index, part in enumerate(parts):
        if not isinstance(part, str | int) or isinstance(part, bool):
            text = f"{show(part)} is not allowed: quote it, so that it is passed as written."
            document.complain(("command", index), text)
        words.append(str(part))
    if not words or not words[0]:
        document.complain(("command",), "names no program.")
    elif any("\0" in word for word in words):
        document.complain(("command",), "holds a NUL, which no command can be given.")
    return words


def _check_names(
    document: Document, form: ScriptForm, words: list[str], names: tuple[str, ...]
) -> None:
    """Every name in braces is known, and every parameter reaches the command."""
    for name in sorted({"params", "config", "out", "device", "python"}.intersection(names)):
        part = "parameters" if name in document.data.get("parameters", {}) else "baseline"
        document.complain((part, name), f"{{{name}}} is Trytable's own. Choose another name.")
    around = [*form.env.values(), form.cwd, form.metrics.file or ""]
    for key, texts in (("command", words), ("env", around)):
        reserved = RESERVED if key == "command" else RESERVED[2:]
        for name in placeholders(texts):
            if name not in names and name not in reserved:
                text = unknown("a parameter or placeholder", name, [*names, *reserved])
                document.complain((key,), text)
    used = {*placeholders([*words, *around]), *form.switches}
    if used & {"params", "config"}:
        return
    for part in ("baseline", "parameters"):
        for name in document.data.get(part, {}):
            if name in names and name not in used:
                document.complain(
                    (part, name),
                    f"the command never uses it. Put {{{name}}} where its value belongs, or "
                    "{params} where all remaining ones belong.",
                )


def _check_placeholders(document: Document, form: ScriptForm, words: list[str]) -> None:
    """What stands for several parameters fits its place and its style."""
    used = set(placeholders(words))
    if {"params", "config"} <= used:
        document.complain(("command",), "{params} and {config} exclude each other.")
    if ("config" in used) != (form.config is not None):
        document.complain(
            ("config",), "config: FILE and {config} in the command belong together; one is missing."
        )
    if form.config is not None and PurePath(form.config).suffix not in _SUFFIXES:
        document.complain(
            ("config",),
            f"{show(form.config)} has no supported format. Allowed: files ending in "
            f"{join_words(_SUFFIXES)}.",
        )
    is_file = form.style in FILE_STYLES
    if not is_file and any("{params}" in word and word != "{params}" for word in words):
        document.complain(
            ("command",),
            f"{{params}} becomes several words in style {show(form.style)}, so it must be a word "
            "of its own.",
        )
    for index, name in enumerate(form.switches):
        if "params" not in used or is_file:
            document.complain(
                ("switches", index), "switches need {params} in a style other than a file's."
            )
        elif name not in free_names(document):
            text = unknown("a parameter", name, free_names(document))
            document.complain(("switches", index), text)


def _check_patterns(document: Document, form: ScriptForm) -> None:
    for index, pattern in enumerate(form.metrics.patterns):
        key = ("metrics", "patterns", index)
        try:
            groups = regex.compile(pattern).groupindex
        except regex.error as error:
            document.complain(key, f"{show(pattern)} is not a regular expression: {error}.")
            continue
        if not set(groups) - {"epoch", "step"}:
            document.complain(
                key,
                f"{show(pattern)} names no metric. Name what it finds, as in "
                r"`loss=(?P<val_loss>\S+)`.",
            )
