"""How messages name a setting: `TRIALS=20` for users of make, `--trials 20` for other users.

The command line chooses once, like a language. Code that runs without a command line gets the
spelling of make. The standard library is all that this module needs, so every room may import it.
"""

import shlex
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Spelling:
    """How the settings of one command line are spelled.

    Attributes:
        is_direct: whether the user ran `trytable` itself; messages then name its options.
        forms: the exceptions, by Make variable: an option such as `--trials`, an empty text for an
            argument without a name, or None for the variable itself.
    """

    is_direct: bool = False
    forms: Mapping[str, str | None] = field(default_factory=dict)


_MAKE = Spelling()
_SPELLING: ContextVar[Spelling] = ContextVar("spelling")


def choose(spelling: Spelling) -> None:
    """Use a spelling in this context from now on."""
    _SPELLING.set(spelling)


def option_name(variable: str) -> str:
    """Return the option that sets what a Make variable sets: `--lr-from` for LR_FROM."""
    return f"--{variable.lower().replace('_', '-')}"


def label(variable: str) -> str:
    """Return the name of a setting: `TRIALS` or `--trials`."""
    return _form(variable) or variable


def setting(variable: str, value: object) -> str:
    """Return a setting with its value: `TRIALS=20`, `--trials 20`, or `20` for an argument."""
    form = _form(variable)
    if form is None:
        return f"{variable}={value}"
    return f"{form} {value}" if form else str(value)


def echo(variable: str, value: object) -> str:
    """Return what the user wrote: `TRY='x'`, `--try 'x'`, or `TRY 'x'` for an argument."""
    return f"{variable} {value!r}" if _form(variable) == "" else setting(variable, repr(value))


def flag(variable: str) -> str:
    """Return a switch that is on: `AS_NEW=1` or `--as-new`."""
    return setting(variable, 1) if _form(variable) is None else label(variable)


def command(verb: str, **settings: object) -> str:
    """Return a command for the user to run: `make sweep NAME=lr` or `trytable sweep lr`."""
    words = {variable: shlex.quote(str(value)) for variable, value in settings.items()}
    if not _SPELLING.get(_MAKE).is_direct:
        return " ".join(["make", verb, *(f"{name}={word}" for name, word in words.items())])
    name = [words.pop("NAME")] if "NAME" in words else []
    options = (f"{option_name(variable)} {word}" for variable, word in words.items())
    return " ".join(["trytable", verb, *name, *options])


def _form(variable: str) -> str | None:
    spelling = _SPELLING.get(_MAKE)
    default = option_name(variable) if spelling.is_direct else None
    return spelling.forms.get(variable, default)
