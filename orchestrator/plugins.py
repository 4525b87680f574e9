"""Finds samplers, pruners and backends by name: Trytable's own, and those of installed packages.

A package is imported only if its plug-in is used, so that a broken one does not stop other sweeps.
"""

import importlib.metadata
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from importlib.metadata import EntryPoint
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from trytable.orchestrator.errors import PluginError, UserError
from trytable.plugins import NoOptions

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Registry(Generic[Kind]):
    """The kinds of one noun by name.

    Attributes:
        noun: what a kind is, as in `sampler`.
        group: the entry points' group, as in `trytable.samplers`.
        kind: the class of the records.
        call: the function that a record has, as in `create(options, seed)`.
        built_in: Trytable's own kinds.
    """

    noun: str
    group: str
    kind: type[Kind]
    call: str
    built_in: Mapping[str, Kind]

    def names(self) -> list[str]:
        """Return every name, Trytable's own first."""
        return list(dict.fromkeys([*self.built_in, *sorted(p.name for p in self._plugins())]))

    def find(self, name: str) -> Kind:
        """Return the kind of a name. Raises KeyError for an unknown one, and PluginError."""
        plugins = [plugin for plugin in self._plugins() if plugin.name == name]
        if not plugins:
            return self.built_in[name]
        sources = " and ".join(sorted(map(_source, plugins)))
        if name in self.built_in:
            raise PluginError(
                f"{sources} registers a {self.noun} {name!r}, but Trytable has one of this name. "
                f"Rename the entry point or uninstall the package. Names that are taken: "
                f"{', '.join(self.built_in)}."
            )
        if len(plugins) > 1:
            raise PluginError(
                f"{sources} register a {self.noun} {name!r} each. Uninstall all but one of them."
            )
        return self._load(plugins[0])

    def package(self, name: str) -> tuple[str, str] | None:
        """Return name and version of the package that a kind is from; None for Trytable's own."""
        for plugin in self._plugins():
            if plugin.name == name and plugin.dist is not None:
                return plugin.dist.name, plugin.dist.version
        return None

    def options(self) -> Mapping[str, type]:
        """Return the options record of each kind, which is loaded when it is looked up."""
        return _OptionTypes(self)

    @contextmanager
    def plugin_errors(self, name: str) -> Iterator[None]:
        """Turn what a plug-in raises in the block into a PluginError that names its package."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            package = self.package(name)
            if package is None:
                raise
            raise PluginError(
                f"The {self.noun} {name!r} of {' '.join(package)} failed: "
                f"{type(error).__name__}: {error}"
            ) from error

    def _plugins(self) -> tuple[EntryPoint, ...]:
        return _entry_points(self.group, tuple(sys.path))

    def _load(self, plugin: EntryPoint) -> Kind:
        title = f"The {self.noun} {plugin.name!r} of {_source(plugin)}"
        try:
            value = plugin.load()
        except Exception as error:
            raise PluginError(
                f"{title} cannot be loaded from {plugin.value}: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(value, self.kind):
            raise PluginError(
                f"{title} cannot be used: {plugin.value} is {type(value).__name__!r} and should be "
                f"a trytable.plugins.{self.kind.__name__}."
            )
        problem = _options_problem(value)
        if problem:
            raise PluginError(f"{title} cannot be used: {problem}.")
        problem = _signature_problem(value, self.call)
        if problem:
            raise PluginError(
                f"{title} cannot be used: it is called as {self.call}, but {problem}."
            )
        return value


@cache
def _entry_points(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:  # noqa: ARG001 - a key
    """Return a group's entry points. A scan of all packages costs milliseconds: one per path."""
    return tuple(importlib.metadata.entry_points(group=group))


def _source(plugin: EntryPoint) -> str:
    return f"{plugin.dist.name} {plugin.dist.version}" if plugin.dist else plugin.value


def _signature_problem(kind: object, call: str) -> str:
    """Return why a record's function cannot be called so; empty if it can."""
    name, _, arguments = call.removesuffix(")").partition("(")
    function = getattr(kind, name)
    if not callable(function):
        return f"{name} is no function"
    try:
        inspect.signature(function).bind(*arguments.split(", "))
    except TypeError as error:
        return str(error)
    except ValueError:  # some functions that are written in C have no signature
        return ""
    return ""


def _options_problem(kind: object) -> str:
    """Return why a record's options cannot be read; empty if they can."""
    options = getattr(kind, "options", NoOptions)
    if isinstance(options, type) and issubclass(options, BaseModel):
        names = list(options.model_fields)
    elif isinstance(options, type) and is_dataclass(options):
        names = [field.name for field in fields(options)]
    else:
        return f"its options {options!r} are neither a dataclass nor a pydantic model"
    return "it has an option called 'name', which a sweep file needs" if "name" in names else ""


class _OptionTypes(Mapping[str, type]):
    """The options records of a registry's kinds by name."""

    def __init__(self, registry: Registry[Any]) -> None:
        self._registry = registry

    def __getitem__(self, name: str) -> type:
        options: type = self._registry.find(name).options
        return options

    def __iter__(self) -> Iterator[str]:
        return iter(self._registry.names())

    def __len__(self) -> int:
        return len(self._registry.names())
