"""What the tests of the sweeps room share: reading a sweep from text."""

from collections.abc import Callable
from pathlib import Path

import pytest

from trytable.orchestrator.study.sampling.kinds import KINDS
from trytable.sweeps.config.loader import Sweep, SweepError, read_sweep

Read = Callable[..., Sweep]
Refuse = Callable[..., list[str]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read a sweep from its text; keywords are overrides, with `__` for a dot."""

    def read_text(text: str | bytes, **overrides: object) -> Sweep:
        path = tmp_path / "mine.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        dotted = {key.replace("__", "."): value for key, value in overrides.items()}
        return read_sweep(path, KINDS, dotted)

    return read_text


@pytest.fixture
def refuse(read: Read, tmp_path: Path) -> Refuse:
    """The lines of the message with which a text is refused, without the folder's path."""

    def read_and_fail(text: str | bytes, **overrides: object) -> list[str]:
        with pytest.raises(SweepError) as caught:
            read(text, **overrides)
        return str(caught.value).replace(f"{tmp_path}/", "").splitlines()

    return read_and_fail
