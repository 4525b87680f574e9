"""Real training on nodes that share no folder: data, model and checkpoints are transferred."""

from pathlib import Path

import pytest

from tests.orchestrator.backends.ray.raylets import raylets
from tests.orchestrator.backends.ray.test_sweep import joined, started
from tests.orchestrator.conftest import write_data
from tests.orchestrator.running import run, said, start, url, wait_for, write_sweep
from tests.trainers.small import save_model
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study.integrity import check_studies
from trytable.results.storage.reader import read_study
from trytable.results.storage.study import StudyResult
from trytable.trainers.protocol.messages import Started

SMALL = """
baseline:
  {epochs: 20, batch_size: 8, lr: 1e-3, dropout: 0.1, precision: fp32, checkpoint_seconds: 0}
parameters:
  dropout: [0.1]
"""


def write_all(folder: Path) -> dict[str, str]:
    """A sweep, a model and data; the variables that name them."""
    write_sweep(folder, SMALL)
    save_model(folder / "model")
    write_data(folder / "data")
    return {"MODEL": str(folder / "model"), "DATA": str(folder / "data")}


def curve(study: StudyResult) -> list[float | None]:
    (one,) = study.trials
    return [epoch.dev_loss for epoch in one.curve]


def test_a_trial_goes_on_elsewhere_from_its_checkpoint_as_if_nothing_had_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, folder, shared = (tmp_path / one for one in ("undisturbed", "it's here", "shared"))
    code, printed = run(undisturbed, "sweep", 400, SLOTS="2", **write_all(undisturbed))
    assert code == 0, printed
    given = {**write_all(folder), "ENGINE": "ray", "SLOTS": "1", "CHECKPOINTS": f"file://{shared}"}
    with raylets() as nodes, nodes.stranger(folder) as one, nodes.stranger(folder) as other:
        nodes.pids = [one, other]
        joined(nodes, monkeypatch)
        sweep = start(folder, **given)
        wait_for(sweep, lambda: said(folder, "checkpoint") >= 3)
        nodes.lose(nodes.node_of(started(folder)[0].pid))
        printed, _ = sweep.communicate(timeout=240)
        assert sweep.returncode == 0, printed
    log = folder / "runs" / "quality" / "trials" / "0000" / "events.jsonl"
    lines = [line for line in log.read_text().splitlines() if '"event":"started"' in line]
    first, second = [Started.model_validate_json(line) for line in lines]
    assert first.resumed_from_step == 0
    assert second.resumed_from_step > 0
    (checked,) = check_studies(Folders(folder / "runs", "quality"))
    assert checked.problems == ()
    assert list(shared.iterdir()) == []  # it has ended, and its best weights have come home
    ours, theirs = (read_study(url(one), "quality") for one in (folder, undisturbed))
    assert curve(ours) == curve(theirs)
    code, printed = run(folder, "best", OUT=str(folder / "handed over"))
    assert code == 0, printed
    assert (folder / "handed over" / "model.safetensors").exists()
