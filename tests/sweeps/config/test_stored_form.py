"""What a study stores of its sweep: studies that earlier versions made must stay readable."""

import json
from pathlib import Path
from typing import Any

import pytest

from trytable.orchestrator.study.sampling.kinds import KINDS
from trytable.sweeps.config.loader import Sweep, read_sweep

STORED: list[dict[str, Any]] = json.loads(
    Path(__file__).with_name("stored_sweeps.json").read_text(encoding="utf-8")
)
"""Files, and what the first version that had all of these keys stored of them."""


@pytest.mark.parametrize("number", range(len(STORED)))
def test_a_sweep_is_stored_as_it_always_was(number: int, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(STORED[number]["file"], encoding="utf-8")
    sweep = read_sweep(path, KINDS)
    # As text: 60 and 60.0 are not the same there.
    stored = json.dumps(sweep.to_json(), sort_keys=True)
    assert stored == json.dumps(STORED[number]["stored"], sort_keys=True)
    assert Sweep.model_validate_json(stored).model_copy(update={"path": str(path)}) == sweep
