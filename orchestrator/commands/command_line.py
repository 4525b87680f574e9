"""Turns the options of a verb into typed records, and reports all wrong options together.

A verb's function takes records, such as `Annotated[Folders, Record(study)]`. `add_verb` replaces
each by the parameters of its builder (here `study`), which Typer makes into options. The builder
runs when all options have been read.
"""

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args

import typer
from typer.core import TyperCommand, TyperOption
from typer.models import ArgumentInfo

from trytable import spelling
from trytable.orchestrator.errors import UserError
from trytable.records import Refused
from trytable.spelling import Spelling

T = TypeVar("T")

EPILOG = (
    "Options are also variables: --runs FOLDER is RUNS=FOLDER for make, and TRYTABLE_RUNS=FOLDER "
    "in the environment."
)

PREFIX = "TRYTABLE_"
"""The Makefile passes its variables in the environment, with this prefix."""

ALIAS_SUFFIX = "_option"
"""Ends the name of the parameter whose option may be used instead of an argument."""

_MISTAKES = "trytable.mistakes"


@dataclass(frozen=True)
class Record:
    """Marks a parameter whose value is built from options.

    The builder's parameters are options; it returns the value or raises UserError.
    """

    build: Callable[..., object]


@dataclass(frozen=True)
class Alias:
    """Marks an argument that an option, such as `--name`, may set instead."""

    option: str


def add_verb(app: typer.Typer, name: str, panel: str) -> Callable[[Callable[..., None]], Any]:
    """Add a function to the app as a verb; `panel` is the heading above it in the help text."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        epilog = EPILOG if inspect.signature(function).parameters else None
        decorate = app.command(name, cls=Verb, rich_help_panel=panel, epilog=epilog)
        return decorate(_expand(function))

    return register


def _expand(function: Callable[..., None]) -> Callable[..., None]:
    """Return a function of options that builds the records which the verb's function takes."""
    builders: dict[str, tuple[Callable[..., object], Iterable[str]]] = {}
    parameters: dict[str, inspect.Parameter] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        record = _mark(parameter, Record)
        inputs = inspect.signature(record.build).parameters if record else {name: parameter}
        builders[name] = (record.build if record else lambda **value: value.popitem()[1], inputs)
        parameters |= inputs

    def run(context: typer.Context, **values: Any) -> None:
        mistakes = dict(context.meta.get(_MISTAKES, {}))
        records = {}
        # An unknown option may stand for any other, so that nothing more is said to be missing.
        is_complete = not any(key.startswith("-") for key in mistakes)
        for name, (build, inputs) in builders.items():
            if is_complete and mistakes.keys().isdisjoint(inputs):
                try:
                    records[name] = build(**{key: values[key] for key in inputs})
                except (UserError, Refused) as error:
                    mistakes[name] = str(error)
        if mistakes:
            raise UserError("\n".join(mistakes.values()))
        function(**records)

    run.__doc__ = function.__doc__
    signature = inspect.Signature(list(_typer_parameters(parameters.values())))
    run.__signature__ = signature  # type: ignore[attr-defined] # Typer reads it
    run.__annotations__ = {name: p.annotation for name, p in signature.parameters.items()}
    return run


def _typer_parameters(parameters: Iterable[inspect.Parameter]) -> Iterator[inspect.Parameter]:
    """Yield what Typer makes options of: the parameters, and an option for each alias."""
    kind = inspect.Parameter.KEYWORD_ONLY
    yield inspect.Parameter("context", kind, annotation=typer.Context)
    for parameter in parameters:
        yield parameter.replace(kind=kind)
        alias, info = _mark(parameter, Alias), _mark(parameter, ArgumentInfo)
        if alias and info:
            option = typer.Option(
                alias.option,
                help=f"The same as {info.metavar}.",
                metavar=info.metavar,
                autocompletion=info.autocompletion,
            )
            name = f"{parameter.name}{ALIAS_SUFFIX}"
            yield inspect.Parameter(name, kind, default="", annotation=Annotated[str, option])


def _mark(parameter: inspect.Parameter, kind: type[T]) -> T | None:
    """Return the mark of this kind in a parameter's `Annotated`, or None."""
    return next((mark for mark in get_args(parameter.annotation) if isinstance(mark, kind)), None)


class Verb(TyperCommand):
    """A command that collects the mistakes in its options instead of stopping at the first.

    An empty value means that the option is not set, on the command line as in the environment.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:  # shell completion
            return super().parse_args(ctx, args)
        mistakes: dict[str, str] = ctx.meta.setdefault(_MISTAKES, {})
        params = self.get_params(ctx)
        words = list(_fold_flags(args, params, mistakes))
        values, rest = self._split(ctx, words, mistakes)
        values = {key: value for key, value in values.items() if value not in (None, "")}
        spelling.choose(_spelling_of(params, values))
        _merge_aliases(params, values, mistakes)
        for param in sorted(params, key=lambda param: not param.is_eager):
            try:
                param.handle_parse_result(ctx, values, rest)
            except (UserError, Refused) as error:
                mistakes[param.name] = str(error)
            except typer.BadParameter as error:
                mistakes[param.name] = f"{spelling.label(variable_of(param))}: {error.message}"
        if rest and not mistakes:
            extra = " ".join(map(repr, rest))
            mistakes[""] = f"{extra}: too many arguments. Quote a value with spaces."
        return rest

    def _split(
        self, ctx: Any, words: list[str], mistakes: dict[str, str]
    ) -> tuple[dict[str, Any], list[str]]:
        """Return the options' texts and the words left over; unknown options are mistakes."""
        options = {
            name: param.name.removesuffix(ALIAS_SUFFIX)
            for param in self.get_params(ctx)
            for name in param.opts
            if name.startswith("-")
        }
        while True:
            try:
                values, rest, _ = self.make_parser(ctx).parse_args(args=list(words))
            except typer.TyperException as error:
                option = str(getattr(error, "option_name", ""))
                index = _index_of(option, words)
                if option in options:
                    mistakes[options[option]] = f"{option} needs a value."
                else:
                    from trytable.sweeps.config.messages import suggestion  # noqa: PLC0415 - slow

                    hint = suggestion(option, options) or f" {ctx.command_path} --help lists them."
                    mistakes[option] = f"There is no option {option}.{hint}"
                # The word after an unknown option is probably its value.
                has_value = words[index] == option and not "".join(words[index + 1 :]).startswith(
                    "-"
                )
                del words[index : index + 1 + has_value]
            else:
                return values, rest


def variable_of(param: Any) -> str:
    """Return the Make variable of an option, or an empty text."""
    return str(param.envvar or "").removeprefix(PREFIX)


def _index_of(option: str, words: Sequence[str]) -> int:
    """Return where an option is; `-n` may be a part of `-name`."""
    for matches in (lambda word: word.partition("=")[0] == option, lambda word: option in word):
        for index, word in enumerate(words):
            if matches(word):
                return index
    raise AssertionError(f"the parser made up {option}")


def _fold_flags(
    args: Sequence[str], params: Iterable[Any], mistakes: dict[str, str]
) -> Iterator[str]:
    """Write `--as-new 1` and `--as-new=0`, as make users know them, as the flags they stand for."""
    flags = {param.opts[0]: param for param in params if param.secondary_opts}
    words = list(args)
    while words:
        word = words.pop(0)
        if word == "--":
            yield word
            yield from words
            return
        name, equals, value = word.partition("=")
        if name not in flags:
            yield word
            continue
        if not equals:
            value = words.pop(0) if words and words[0] in ("0", "1", "") else "1"
        if value in ("0", "1"):
            yield name if value == "1" else flags[name].secondary_opts[0]
        elif value:
            allowed = f"{name} or {flags[name].secondary_opts[0]}"
            mistakes[flags[name].name] = f"{name}={value} is not valid. Use {allowed}."


def _spelling_of(params: Sequence[Any], values: dict[str, Any]) -> Spelling:
    """Return the spelling of a user who set `values` by options and the rest by variables."""
    forms: dict[str, str | None] = {}
    variables = {f"{PREFIX}{variable_of(param)}" for param in params}
    is_direct = bool(values) or variables.isdisjoint(os.environ)  # make sets them all
    for param in params:
        variable = variable_of(param)
        if f"{param.name}{ALIAS_SUFFIX}" in values:
            forms[variable] = spelling.option_name(variable)
        elif param.name in values or (is_direct and not os.environ.get(f"{PREFIX}{variable}")):
            forms[variable] = param.opts[-1] if isinstance(param, TyperOption) else ""
        else:
            forms[variable] = None
    return Spelling(is_direct, forms)


def _merge_aliases(params: Sequence[Any], values: dict[str, Any], mistakes: dict[str, str]) -> None:
    """Move the value of `--name` to the argument NAME; a different one in both is a mistake."""
    for param in params:
        if param.name.endswith(ALIAS_SUFFIX):
            argument = param.name.removesuffix(ALIAS_SUFFIX)
            value = values.pop(param.name, None)
            if value is not None and values.setdefault(argument, value) != value:
                mistakes[argument] = (
                    f"{param.opts[-1]} {value} contradicts the argument {values[argument]}. "
                    "Use one of them."
                )
