"""Fills a trial's values into a script's command: its words, environment and files.

Nothing is run or written here; a config file that the command names is read.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trytable.records import LaunchSettings, Refused, Scalar
from trytable.trainers.script.configs import FORMATS, dump_config, merge_config

# The same pattern as in sweeps/config/script.py, which has refused unknown placeholders already.
_PLACEHOLDER = re.compile(r"\{\{([\w.+~/-]+)\}\}|\{([A-Za-z_+~][\w.+~/-]*)\}")


@dataclass(frozen=True)
class CommandContext:
    """What a command may use besides parameters.

    Attributes:
        seed: the trial's seed.
        out: the trial's folder, absolute.
        device: `cpu` or `cuda`.
        python: the interpreter that Trytable runs in.
    """

    seed: int
    out: Path
    device: str
    python: str


@dataclass(frozen=True)
class Invocation:
    """What is run: the words, working folder and variables, and the files to write before."""

    words: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    files: Mapping[Path, str]
    metrics_file: Path | None


def build_invocation(
    launch: LaunchSettings, values: Mapping[str, Scalar], context: CommandContext
) -> Invocation:
    """Fill the values into a command. Raises Refused if its config file cannot take them."""
    texts = {
        "seed": str(context.seed),
        "out": str(context.out),
        "device": context.device,
        "python": context.python,
        **{name: argument_text(value) for name, value in values.items()},
    }
    cwd = Path(_fill(launch.cwd, texts))
    with_place = _placed_parameters(launch)
    unplaced = {name: value for name, value in values.items() if name not in with_place}
    files: dict[Path, str] = {}
    words: list[str] = []
    if launch.config is not None:
        base = cwd / launch.config
        texts["config"] = str(context.out / f"config{base.suffix}")
        files[Path(texts["config"])] = merge_config(base, unplaced)
    elif launch.style in FORMATS:
        texts["params"] = str(context.out / f"params.{launch.style}")
        if any("{params}" in word for word in launch.command):
            files[Path(texts["params"])] = dump_config(unplaced, launch.style)
    for word in launch.command:
        is_arguments = word == "{params}" and "params" not in texts
        words += _arguments(launch, unplaced) if is_arguments else [_fill(word, texts)]
    metrics = launch.metrics_file
    return Invocation(
        words=tuple(words),
        cwd=cwd,
        env={name: _fill(text, texts) for name, text in launch.env.items()},
        files=files,
        metrics_file=None if metrics is None else cwd / _fill(metrics, texts),
    )


def argument_text(value: Scalar) -> str:
    """Return a value as one word: the shortest decimals that read back the same, or `true`."""
    return value if isinstance(value, str) else json.dumps(value)


def _placed_parameters(launch: LaunchSettings) -> set[str]:
    """Return the parameters with a placeholder of their own, which `{params}` leaves out."""
    texts = [*launch.command, *launch.env.values(), launch.cwd, launch.metrics_file or ""]
    return {match[2] for text in texts for match in _PLACEHOLDER.finditer(text) if match[2]}


def _fill(text: str, texts: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda m: f"{{{m[1]}}}" if m[1] else texts[m[2]], text)


def _arguments(launch: LaunchSettings, values: Mapping[str, Scalar]) -> list[str]:
    words: list[str] = []
    for name, value in values.items():
        word = argument_text(value)
        if name in launch.switches:
            if value is not True and value is not False:
                raise Refused(f"{name} is a switch. Allowed: true or false, not {word}.")
            words += [f"--{name}"] if value else []
        elif launch.style == "k=v":
            words.append(f"{name}={word}")
        elif launch.style == "--k=v" or (word.startswith("-") and isinstance(value, str)):
            # As a separate word, `-x` would be parsed as an option.
            words.append(f"--{name}={word}")
        else:
            words += [f"--{name}", word]
    return words
