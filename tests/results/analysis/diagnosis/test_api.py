"""A study's findings, computed from its database alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.results.analysis.diagnosis.curves import DEV_COUNTS, DROPOUT_03, RATE_1E_5, Rows
from tests.results.studies import Maker, Planned
from trytable.results.analysis.diagnosis.api import diagnose, overfit_levels
from trytable.results.storage.reader import read_study
from trytable.results.storage.rows import EpochRow, FindingRow, GoldRow, PredictionRow, Row, StepRow

GOLD = [label for label, count in enumerate(DEV_COUNTS) for _ in range(count)]
CLASSES = {"classes": ["0", "1", "2", "3", "4"]}


def planned(rows: Rows) -> Planned:
    return Planned({"lr": 1e-5}, tuple(dev for *_, dev in rows), tuple(t for _, t, _ in rows))


def epochs(uid: str, rows: Rows) -> list[Row]:
    return [
        EpochRow(
            uid,
            1,
            n,
            107 * n,
            value=dev,
            train_loss=loss,
            probe_accuracy=train,
            dev_accuracy=dev,
            seconds=1.0,
        )
        for n, (loss, train, dev) in enumerate(rows, start=1)
    ]


def steps(uid: str, losses: list[float], attempt: int = 1) -> list[Row]:
    return [
        StepRow(uid, attempt, 10 * n, 1, loss, 1e-5, 1.0, None, 0.2, {"head": 1.0}, {"head": 0.9})
        for n, loss in enumerate(losses, start=1)
    ]


@pytest.fixture
def made(tmp_path: Path) -> Maker:
    maker = Maker(tmp_path / "studies.db", facts=CLASSES)
    maker.add(planned(DROPOUT_03), planned(RATE_1E_5))
    maker.ledger.write(GoldRow(maker.uid, "dev", GOLD))
    maker.ledger.write(*epochs(f"{maker.uid}-0", DROPOUT_03), *epochs(f"{maker.uid}-1", RATE_1E_5))
    return maker


def test_each_try_has_its_findings_the_gravest_first(made: Maker) -> None:
    uid = f"{made.uid}-1"
    made.ledger.write(
        PredictionRow(uid, "dev", [2] * len(GOLD)),
        FindingRow(uid, 1, "oom_retry", "warning", "micro-batch 32 to 16", {"micro_batch": 16}),
    )
    study = read_study(made.url, made.name)
    found = diagnose(study)
    # Only the sort of course has been told: its first epoch is a collapse, 0.252 is no share.
    assert [one.kind for one in found[0]] == ["overfit"]
    assert [one.kind for one in found[1]] == [
        "majority_class", "oom_retry", "underfit", "still_improving",
    ]  # fmt: skip
    assert found[1][0].evidence["class"] == 2
    assert list(overfit_levels(study).values()) == ["severe", "none"]


def test_the_steps_of_the_last_attempt_stand(made: Maker) -> None:
    uid = f"{made.uid}-0"
    made.ledger.write(*steps(uid, [1.6, 1.5, 1.4]), *steps(uid, [1.6, 1.3], attempt=2))
    (one, _) = read_study(made.url, made.name).trials
    assert [(row.step, row.loss) for row in one.steps] == [(10, 1.6), (20, 1.3), (30, 1.4)]
    assert one.steps[0].layer_weights == {"head": 0.9}


def test_tries_of_one_seed_are_told_of_each_other(made: Maker) -> None:
    made.ledger.write(*steps(f"{made.uid}-0", [1.6, 1.5]), *steps(f"{made.uid}-1", [1.6, 1.55]))
    found = diagnose(read_study(made.url, made.name))
    (seed,) = [one for one in found[1] if one.kind == "same_seed"]
    assert "Try 1 up to step 10 and differ by step 20" in seed.message
    assert "same_seed" not in [one.kind for one in found[0]]


def test_the_window_is_the_sweeps(made: Maker) -> None:
    uid = f"{made.uid}-1"
    made.ledger.write(*steps(uid, [1.61] * 30))
    study = read_study(made.url, made.name)
    # Accuracy 0.410 is far above chance, so only a trial that has none yet can be stuck.
    bare = replace(study, trials=tuple(replace(one, curve=()) for one in study.trials))

    def stuck(gate: dict[str, object]) -> bool:
        found = diagnose(replace(bare, sweep={"gate": gate}))
        return "no_learning" in [one.kind for one in found[1]]

    assert stuck({})
    assert stuck({"kinds": ["no_learning"], "window_steps": 300, "tolerance": 0.05})
    assert not stuck({"kinds": [], "window_steps": 301, "tolerance": 0.05})
