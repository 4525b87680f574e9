"""A script's command with a trial's values in it: words, environment and files. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trytable.records import Scalar
from trytable.trainers.protocol.messages import LaunchSettings, Refused
from trytable.trainers.script.configs import FORMATS, merged, written

# As in sweeps/config/script.py, which has refused whatever could not be filled in here.
_PLACE = re.compile(r"\{\{([\w.+~/-]+)\}\}|\{([A-Za-z_+~][\w.+~/-]*)\}")


@dataclass(frozen=True)
class CommandContext:
    """What is filled in besides parameters; `out` is absolute, `device` is cpu or cuda."""

    seed: int
    out: Path
    device: str
    python: str


@dataclass(frozen=True)
class Invocation:
    """What is run: its words, folder and own variables, and files to be written before."""

    words: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    files: Mapping[Path, str]
    metrics_file: Path | None


def build_invocation(
    launch: LaunchSettings, values: Mapping[str, Scalar], given: CommandContext
) -> Invocation:
    """Fill a command in. Raises Refused where a config file cannot take the values."""
    known = {name: argument_text(value) for name, value in values.items()}
    ours = {
        "seed": str(given.seed),
        "out": str(given.out),
        "device": given.device,
        "python": given.python,
    }
    texts = {**ours, **known}
    cwd = Path(_filled(launch.cwd, texts))
    rest = {name: values[name] for name in values if name not in _placed(launch)}
    files: dict[Path, str] = {}
    words: list[str] = []
    if launch.config is not None:
        base = cwd / launch.config
        texts["config"] = str(given.out / f"config{base.suffix}")
        files[Path(texts["config"])] = merged(base, rest)
    elif launch.style in FORMATS:
        texts["params"] = str(given.out / f"params.{launch.style}")
        if any("{params}" in word for word in launch.command):
            files[Path(texts["params"])] = written(rest, launch.style)
    for word in launch.command:
        arguments = word == "{params}" and "params" not in texts
        words += _arguments(launch, rest) if arguments else [_filled(word, texts)]
    metrics = launch.metrics_file
    return Invocation(
        words=tuple(words),
        cwd=cwd,
        env={name: _filled(text, texts) for name, text in launch.env.items()},
        files=files,
        metrics_file=None if metrics is None else cwd / _filled(metrics, texts),
    )


def argument_text(value: Scalar) -> str:
    """A value as one word: shortest decimals that read back the same, `true` and `false`."""
    return value if isinstance(value, str) else json.dumps(value)


def _placed(launch: LaunchSettings) -> set[str]:
    """The parameters that have a place of their own."""
    texts = [*launch.command, *launch.env.values(), launch.cwd, launch.metrics_file or ""]
    return {found[2] for text in texts for found in _PLACE.finditer(text) if found[2]}


def _filled(text: str, texts: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda at: f"{{{at[1]}}}" if at[1] else texts[at[2]], text)


def _arguments(launch: LaunchSettings, rest: Mapping[str, Scalar]) -> list[str]:
    words: list[str] = []
    for name, value in rest.items():
        word = argument_text(value)
        if name in launch.switches:
            if value is not True and value is not False:
                raise Refused(f"{name} is a switch, and {word} is neither true nor false.")
            words += [f"--{name}"] if value else []
        elif launch.style == "k=v":
            words.append(f"{name}={word}")
        elif launch.style == "--k=v" or (word.startswith("-") and isinstance(value, str)):
            # As a word of its own `-x` would be taken for an option.
            words.append(f"--{name}={word}")
        else:
            words += [f"--{name}", word]
    return words
