"""Counts Ctrl-C and similar signals.

An exception raised by a signal could interrupt a database write at any line. The sweep's loop
reads the count between two instructions instead.
"""

import logging
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

_LOGGER = logging.getLogger(__name__)
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SignalCounter:
    """Counts SIGINT, SIGTERM and SIGHUP until its block ends.

    The first signal asks a sweep to save its running trials and exit, the second to exit now.
    Must be entered in the main thread. `on_first` is called once, from the signal handler.
    """

    def __init__(self) -> None:
        self.count = 0
        self._logged_count = 0
        self._last_signal = 0
        self.on_first: Callable[[], None] = lambda: None
        self._previous_handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            self._previous_handlers[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def read(self) -> int:
        """Return the count, and log what has come since the last call.

        The handler itself must not log: it may interrupt the writing of a record.
        """
        count = self.count
        if count != self._logged_count:
            name = signal.Signals(self._last_signal).name
            _LOGGER.warning("Received %s; %d signals so far", name, count)
            self._logged_count = count
        return count

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self._last_signal = number
        if self.count == 1:
            self.on_first()
