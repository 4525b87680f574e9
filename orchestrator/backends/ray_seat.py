"""What the Ray backend knows of one slot: its actor, the call that is under way, the job."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator.backends.base import Slot
from orchestrator.backends.ray_plan import Place
from trainers.protocol import Job, StopReason


@dataclass
class Seat:
    """A slot and its actor. One call at most is under way: `ask` makes it, `then` takes its answer.

    `call_at` is when it is to be made, again perhaps, in monotonic seconds.
    """

    slot: Slot
    actor: Any
    ask: Callable[[], Any]
    then: Callable[[Any], None]
    call: Any = None
    call_at: float = 0.0
    place: Place | None = None
    ready: bool = False
    job: Job | None = None
    heard: int = 0
    stop: StopReason | None = None

    def next(self, ask: Callable[[], Any], then: Callable[[Any], None], wait: float = 0.0) -> None:
        """Say what is to be called next, and how long from now."""
        self.ask, self.then, self.call = ask, then, None
        self.call_at = time.monotonic() + wait

    def after_call(self, do: Callable[[], None]) -> None:
        """Do something now, or after the answer of a call that is under way."""
        if self.call is None:
            do()
            return
        first = self.then

        def both(answer: Any) -> None:
            first(answer)
            do()

        self.then = both
