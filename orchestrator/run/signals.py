"""Counts Ctrl-C and similar signals.

An exception raised by a signal could interrupt a database write at any line. The sweep's loop
reads the count between two instructions instead.
"""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SignalCounter:
    """Counts SIGINT, SIGTERM and SIGHUP until its block ends.

    The first signal asks a sweep to save its running trials and exit, the second to exit now.
    Must be entered in the main thread. `on_first` is called once, from the signal handler.
    """

    def __init__(self) -> None:
        self.count = 0
        self.on_first: Callable[[], None] = lambda: None
        self._previous_handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            self._previous_handlers[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.count == 1:
            self.on_first()
