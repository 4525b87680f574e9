"""AS_NEW=1: a changed sweep's own study has every earlier try that is still one of its own."""

import json
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.orchestrator.playing import play, sweep_of
from tests.orchestrator.running import run, start, write_sweep
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study import carry_over
from trytable.orchestrator.study.integrity import check_studies
from trytable.results.storage.reader import read_study

RANGE = """
trainer: scripted
{seed}
baseline: {{value: 0.5, epochs: {epochs}}}
parameters:
  value: {{low: {low}, high: {high}}}
sampler: {{name: random}}
trials: {trials}
"""


def text(**changed: Any) -> str:
    given = {"seed": "seed: 7", "epochs": 3, "low": 0.1, "high": 0.9, "trials": 12}
    return RANGE.format(**given | changed)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    odd = tmp_path / "it's {a} 100% #1?"
    play(sweep_of(odd, text()), Folders(odd / "runs", "quality"))
    return odd


def anew(folder: Path, study: str = "quality@2", **changed: Any) -> str:
    sweep = sweep_of(folder, text(**changed))
    return play(sweep, Folders(folder / "runs", study), any_study=False, as_new=True)


def tries(folder: Path, study: str = "quality@2") -> list[optuna.trial.FrozenTrial]:
    found = Folders(folder / "runs", study)
    assert not [one for study in check_studies(found) for one in study.problems]
    return optuna.load_study(
        study_name=study, storage=found.url.replace("{", "{{").replace("}", "}}")
    ).trials


def carried(folder: Path) -> int:
    """How many tries of the second study were taken along, the baseline among them."""
    sources = [trial.user_attrs.get("trytable:source") for trial in tries(folder)]
    return sources.count("carried") + 1


def test_a_narrower_range_keeps_what_lies_within(folder: Path) -> None:
    before = tries(folder, "quality")
    inside = [trial for trial in before if 0.3 <= trial.params["value"] <= 0.7]
    assert 3 <= len(inside) < 12
    printed = anew(folder, low=0.3, high=0.7)
    assert f"{len(inside)} of 12 tries carried over from quality" in printed
    assert f"{12 - len(inside)} not: value outside the new space" in printed
    after = tries(folder)
    assert len(after) == 12
    assert carried(folder) == len(inside)
    for old, new in zip(inside, after, strict=False):
        assert (old.params, old.value, old.intermediate_values, old.datetime_start) == (
            new.params,
            new.value,
            new.intermediate_values,
            new.datetime_start,
        )
    study = read_study(Folders(folder / "runs", "quality@2").url, "quality@2")
    assert study.baseline is not None
    assert study.baseline.number == 0
    assert all(one.attempts and len(one.curve) == 3 for one in study.trials)
    assert "carried over from quality, Try 1" in study.trials[0].reason


def test_a_new_parameter_keeps_the_tries_that_had_its_value(tmp_path: Path) -> None:
    """`epochs` was 3 for all: as a parameter from 2 to 4 that is a point of the new space."""
    folders = Folders(tmp_path / "runs", "quality")
    play(sweep_of(tmp_path, text()), folders)
    wider = text().replace("sampler:", "  epochs: {low: 2, high: 4}\nsampler:")
    sweep = sweep_of(tmp_path, wider)
    again = Folders(tmp_path / "runs", "quality@2")
    assert "12 of 12 tries" in play(sweep, again, any_study=False, as_new=True)
    assert {trial.params["epochs"] for trial in tries(tmp_path)} == {3}
    assert len(tries(tmp_path)) == 12


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"epochs": 4}, "12 not: epochs: 3 then, 4 now"),
        ({"seed": "seed: 8"}, "12 not: of another seed"),
    ],
)
def test_what_could_not_be_compared_stays_behind(
    folder: Path, changed: dict[str, Any], why: str
) -> None:
    printed = anew(folder, trials=2, **changed)
    assert "0 of 12 tries carried over" in printed
    assert why in printed
    assert len(tries(folder)) == 2


def test_a_sweep_that_names_no_seed_takes_the_one_that_was_drawn(tmp_path: Path) -> None:
    play(sweep_of(tmp_path, text(seed="seed: null")), Folders(tmp_path / "runs", "quality"))
    printed = anew(tmp_path, seed="seed: null", low=0.0)
    assert "12 of 12 tries carried over" in printed


def test_a_third_study_takes_from_both_and_nothing_twice(folder: Path) -> None:
    anew(folder, low=0.3, high=0.7)
    first, second = tries(folder, "quality"), tries(folder)
    values = {trial.params["value"] for trial in (*first, *second)}
    inside = {value for value in values if 0.2 <= value <= 0.8}
    printed = anew(folder, "quality@3", low=0.2, high=0.8, trials=len(inside))
    assert "tries carried over from quality\n" in printed
    assert "tries carried over from quality@2\n" in printed
    third = tries(folder, "quality@3")
    assert sorted(trial.params["value"] for trial in third) == sorted(inside)
    assert "starts" not in printed


def test_a_study_that_was_deleted_has_nothing_to_give(folder: Path) -> None:
    """Its rows in the ledger are all that is left of it."""
    anew(folder, low=0.3, high=0.7)
    found = Folders(folder / "runs", "quality").url.replace("{", "{{").replace("}", "}}")
    optuna.delete_study(study_name="quality", storage=found)
    printed = anew(folder, "quality@3", low=0.2, high=0.8, trials=12)
    assert "0 of 0 tries carried over from quality\n" not in printed
    assert "12 of 12 tries carried over from quality@2" in printed


def test_a_first_study_has_nothing_to_take(tmp_path: Path) -> None:
    printed = anew(tmp_path, "quality")
    assert "carried" not in printed
    assert len(tries(tmp_path, "quality")) == 12


def test_an_interrupted_carrying_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped between the ledger's rows and Optuna's, at the fifth try."""
    real, count = carry_over._copy_trial, []

    def stops(*arguments: Any) -> Any:
        count.append(1)
        if len(count) == 5:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(carry_over, "_copy_trial", stops)
    with pytest.raises(KeyboardInterrupt):
        anew(folder, low=0.0)
    monkeypatch.undo()
    sweep = sweep_of(folder, text(low=0.0))
    printed = play(sweep, Folders(folder / "runs", "quality@2"), any_study=False)
    assert "12 of 12 tries carried over from quality" in printed
    assert carried(folder) == len(tries(folder)) == 12
    assert "carried over" not in play(sweep, Folders(folder / "runs", "quality@2"), any_study=False)


GRID = "[0.1, 0.3, 0.5, 0.7]"
TPE = "\nsampler: {name: tpe}"
SWEEP = """
trainer: scripted
baseline: {value: 0.5, epochs: 2, epoch_seconds: 0.01}
parameters:
  value: [0.1, 0.3, 0.5, 0.7]
"""


def test_by_hand_a_changed_range_is_refused_and_as_new_goes_on(tmp_path: Path) -> None:
    write_sweep(tmp_path, SWEEP)
    assert run(tmp_path)[0] == 0
    write_sweep(
        tmp_path,
        SWEEP.replace(GRID, "{low: 0.2, high: 0.8}" + TPE),
    )
    code, printed = run(tmp_path, TRIALS="6")
    assert code == 2
    assert "parameters.value: 0.1, 0.3, 0.5, 0.7 then, 0.2 to 0.8 now" in printed
    assert "AS_NEW=1 starts a study beside it with the tries that are still valid" in printed
    code, printed = run(tmp_path, TRIALS="6", AS_NEW="1")
    assert code == 0, printed
    assert "3 of 4 tries carried over from quality" in printed
    assert len(tries(tmp_path)) == 6
    home = tmp_path / "runs" / "quality@2"
    table = json.loads((home / "tables" / "try_table.json").read_text())
    assert len(table["rows"]) == 6
    assert (home / "trials" / "0000" / "events.jsonl").exists()
    code, printed = run(tmp_path, "show", NAME="quality@2", TRY="2")
    assert "carried over from quality" in printed


def test_a_killed_carrying_goes_on(tmp_path: Path) -> None:
    """Killed as soon as the new study has tries; the next run has them all, once."""
    write_sweep(tmp_path, SWEEP.replace("[0.1", f"[{', '.join(f'0.{n}' for n in range(31, 50))}"))
    assert run(tmp_path)[0] == 0
    write_sweep(
        tmp_path,
        SWEEP.replace(GRID, "{low: 0.0, high: 0.8}" + TPE),
    )
    sweep = start(tmp_path, AS_NEW="1", TRIALS="23")
    folder = tmp_path / "runs" / "quality@2" / "trials"
    while not folder.exists() or len(list(folder.iterdir())) < 5:
        assert sweep.poll() is None
    sweep.kill()
    sweep.communicate()
    code, printed = run(tmp_path, NAME="quality@2", TRIALS="23")
    assert code == 0, printed
    assert len(tries(tmp_path)) == 23
    assert carried(tmp_path) == 22
