"""Follows one number through the functions of some folders, by Python's profiling hook.

It imports nothing of Trytable, so that the process of a worker can load it before anything else.
"""

import dataclasses
import inspect
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from types import CodeType, FrameType
from typing import Any

Function = tuple[str, str]
"""A file below the root, and the function's qualified name."""

OUTSIDE: Function = ("", "outside")
"""Stands for what calls the traced functions."""

_MAX_DEPTH = 7
_MAX_ITEMS = 200
_VALIDATORS = {"model_validate", "model_validate_json", "validate_python", "__init__"}


def holds(thing: Any, value: float, depth: int = _MAX_DEPTH) -> bool:
    """Whether a number, a text, a container or a record holds the value."""
    if isinstance(thing, float):
        return thing == value
    if isinstance(thing, str | bytes):
        text = repr(value)
        return text in thing if isinstance(thing, str) else text.encode() in thing
    if depth == 0 or thing is None or isinstance(thing, int | type):
        return False
    parts: Iterable[Any] = ()
    if isinstance(thing, Mapping):
        parts = list(thing.values())[:_MAX_ITEMS]
    elif isinstance(thing, list | tuple | set | frozenset) or type(thing).__name__ == "deque":
        parts = list(thing)[:_MAX_ITEMS]
    elif _is_record(thing):
        parts = list(vars(thing).values())
    return any(holds(part, value, depth - 1) for part in parts)


def _is_record(thing: Any) -> bool:
    kind = type(thing)
    is_pydantic = hasattr(kind, "__pydantic_fields__")
    is_trial = kind.__module__.startswith("optuna.trial")
    return hasattr(thing, "__dict__") and (
        dataclasses.is_dataclass(thing) or is_pydantic or is_trial
    )


class ValueTracer:
    """Records how a value moves between functions until it reaches a certain one.

    Args:
        roots: the folders whose functions count; other frames are passed through.
        value: the number to follow.
        is_end: whether a function, called with the value, is where it should arrive.
        on_end: called once, in the frame that calls that function.
    """

    def __init__(
        self,
        roots: Mapping[str, str],
        value: float,
        is_end: Callable[[Function], bool],
        on_end: Callable[["ValueTracer", Function], None] = lambda *_: None,
    ) -> None:
        self._roots = roots
        self._value = value
        self._is_end = is_end
        self._on_end = on_end
        self._functions: dict[CodeType, Function | None] = {}
        # Both hold what they are keyed by: an id is used again once its object is gone.
        self._pending: dict[FrameType, set[Function]] = {}
        self._receivers: dict[int, tuple[object, set[Function]]] = {}
        self.sources: defaultdict[Function, set[Function]] = defaultdict(set)
        """For each function, those that the value came to it from."""
        self.validations: list[str] = []
        self.end: Function | None = None

    def start(self) -> None:
        """Trace this thread."""
        sys.setprofile(self._hook)

    def path(self) -> list[Function]:
        """The functions that the value went through to the end, nearest to the end first."""
        visited: dict[Function, None] = dict.fromkeys([self.end] if self.end else [])
        for function in (queue := list(visited)):
            for source in sorted(self.sources[function] - visited.keys()):
                visited[source] = None
                queue.append(source)
        return [function for function in visited if function != OUTSIDE]

    def _hook(self, frame: FrameType, event: str, result: Any) -> None:
        if event not in ("call", "return") or self.end is not None:
            return
        function = self._function(frame.f_code)
        if function is None:
            if event == "call" and frame.f_code.co_name in _VALIDATORS:
                self._note_validation(frame)
        elif event == "call":
            self._on_call(frame, function)
        else:
            self._on_return(frame, function, result)

    def _on_call(self, frame: FrameType, function: Function) -> None:
        if not any(holds(argument, self._value) for argument in _arguments(frame)):
            return
        caller, name = self._caller(frame)
        self._emit(caller, name)
        self._pending.setdefault(frame, set()).add(name)
        if self._is_end(function):
            self.end = function
            self.sources[function].add(name)
            sys.setprofile(None)
            self._on_end(self, name)

    def _on_return(self, frame: FrameType, function: Function, result: Any) -> None:
        owner = frame.f_locals.get("self")
        is_receiver = frame in self._pending
        if holds(result, self._value):
            self._emit(frame, function)
            caller, _ = self._caller(frame)
            self._pending.setdefault(caller, set()).add(function)
        if is_receiver and any(holds(part, self._value) for part in vars_of(owner)):
            self._emit(frame, function)
            self._receivers.setdefault(id(owner), (owner, set()))[1].add(function)
        if not frame.f_code.co_flags & inspect.CO_GENERATOR:  # a generator goes on after a yield
            self._pending.pop(frame, None)

    def _emit(self, frame: FrameType, function: Function) -> None:
        """The value goes on from a call, so what brought it to this call is a source.

        A method that nothing brought it to has it from an earlier method of the same object.
        """
        owner = frame.f_locals.get("self")
        sources = self._pending.get(frame) or self._receivers.get(id(owner), (owner, set()))[1]
        self.sources[function] |= sources - {function}

    def _note_validation(self, frame: FrameType) -> None:
        path = frame.f_code.co_filename
        # A TypeAdapter keeps its caller's local variables, to look up names in annotations.
        if "/pydantic/" not in path or path.endswith("/_namespace_utils.py"):
            return
        # Pydantic takes an instance of a model as it is: only plain data are validated.
        arguments = [*_arguments(frame)]
        plain = [part for argument in arguments for part in _plain_parts(argument)]
        if any(holds(part, self._value) for part in plain):
            self.validations.append("{}: {}".format(*self._caller(frame)[1]))

    def _caller(self, frame: FrameType) -> tuple[FrameType, Function]:
        """The nearest frame above whose function counts; else the outermost one."""
        while frame.f_back is not None:
            frame = frame.f_back
            function = self._function(frame.f_code)
            if function is not None:
                return frame, function
        return frame, OUTSIDE

    def _function(self, code: CodeType) -> Function | None:
        if code not in self._functions:
            self._functions[code] = self._name(code)
        return self._functions[code]

    def _name(self, code: CodeType) -> Function | None:
        for root, name in self._roots.items():
            if code.co_filename.startswith(root) and not code.co_name.startswith("<"):
                return name + code.co_filename.removeprefix(root), code.co_qualname
        return None


def vars_of(thing: object) -> Iterable[Any]:
    """The attributes of an object, if it has any."""
    return list(getattr(thing, "__dict__", {}).values())


def _arguments(frame: FrameType) -> Iterable[Any]:
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    return (
        frame.f_locals.get(name) for name in code.co_varnames[:count] if name not in ("self", "cls")
    )


def _plain_parts(argument: Any) -> Iterable[Any]:
    parts = argument.values() if isinstance(argument, dict) else [argument]
    return (part for part in parts if not hasattr(type(part), "__pydantic_fields__"))
