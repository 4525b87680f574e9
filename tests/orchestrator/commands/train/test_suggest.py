"""The next sweep file: what leads where, and that it is always one that can be read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.orchestrator.running import run, write_sweep
from trytable.orchestrator.commands.train.next_values import Findings
from trytable.orchestrator.commands.train.suggest import as_yaml, plan_next_sweep
from trytable.orchestrator.study.sampling.kinds import KINDS
from trytable.records import DEFAULT_OBJECTIVE
from trytable.results.analysis.diagnosis.symptoms.types import Advice, Diagnosis
from trytable.results.storage.rows import Status
from trytable.results.storage.study import EpochResult, StudyResult, TrialResult
from trytable.sweeps.config.loader import Sweep, read_sweep
from trytable.trainers.protocol.messages import FinetuneSettings

DEFAULTS = FinetuneSettings().model_dump()


def tried(number: int, value: float, status: Status = "completed", **knobs: Any) -> TrialResult:
    return TrialResult(
        number=number, uid=None, status=status, reason="", source="", params=knobs,
        distributions={}, requested=DEFAULTS, effective={}, curve=(EpochResult(1, value),),
        best_epoch=1, best_value=value, best_dev_accuracy=value, test_accuracy=None, attempts=(),
        findings=(), seconds=None,
    )  # fmt: skip


def study(swept: Sequence[str], *tries: TrialResult) -> StudyResult:
    sweep = {
        "trainer": "finetune",
        "model": "minilm",
        "data": {"name": "docstrings", "text": "text", "text_pair": None, "label": "label"},
        "seed": 7,
        "baseline": DEFAULTS,
        "parameters": {name: {"kind": "float", "values": []} for name in swept},
        "objective": {"name": "dev_accuracy", "direction": "maximize"},
        "gate": {"kinds": ["no_learning"], "window_steps": 500, "tolerance": 0.05},
    }
    return StudyResult("mine", "u", DEFAULT_OBJECTIVE, sweep, {}, None, tries)


def found(kind: str, *advice: Advice, message: str = "seen") -> Diagnosis:
    return Diagnosis(kind, "error", message, "why", advice, {})


def read(text: str, folder: Path) -> Sweep:
    path = folder / "next.yaml"
    path.write_text(text, encoding="utf-8")
    return read_sweep(path, KINDS)


def suggested(made: StudyResult, findings: Findings, folder: Path) -> tuple[Sweep, str]:
    text = as_yaml(made, plan_next_sweep(made, findings, FinetuneSettings), FinetuneSettings)
    return read(text, folder), text


def values(sweep: Sweep, name: str) -> tuple[Any, ...]:
    return sweep.parameters[name].values


RATES = (tried(0, 0.5, lr=1e-5), tried(1, 0.7, lr=1e-4), tried(2, 0.6, lr=1e-3))


def test_around_the_best_between_its_neighbours(tmp_path: Path) -> None:
    sweep, text = suggested(study(["lr"], *RATES), {}, tmp_path)
    assert values(sweep, "lr") == (3.16e-5, 1e-4, 3.16e-4)
    assert sweep.baseline["lr"] == 1e-4
    assert (sweep.seed, sweep.gate.window_steps, sweep.sampler.name) == (7, 500, "grid")
    assert "# Try 2 was best, between 1e-5 and 0.001" in text
    assert "lr: 1e-4  # as in Try 2, the best with 0.7" in text


def test_beyond_the_outermost_value_that_was_best(tmp_path: Path) -> None:
    tries = (tried(0, 0.5, lr=1e-5), tried(1, 0.7, lr=1e-4))
    sweep, text = suggested(study(["lr"], *tries), {}, tmp_path)
    assert values(sweep, "lr") == (3.16e-5, 1e-4, 1e-3)
    assert "Try 2 was best with the largest value tried, so go further" in text


def test_never_at_nor_beyond_a_value_that_broke(tmp_path: Path) -> None:
    broken = {2: (found("divergence", message="the loss rose"),)}
    sweep, text = suggested(study(["lr"], *RATES), broken, tmp_path)
    assert values(sweep, "lr") == (3.16e-5, 1e-4, 3e-4)  # one move towards what broke
    assert "# Try 3 (lr 0.001): divergence: the loss rose" in text
    higher = {**broken, 1: (found("underfit", Advice("lr", "raise")),)}
    sweep, text = suggested(study(["lr"], *RATES), higher, tmp_path)
    assert values(sweep, "lr") == (1e-4, 3e-4, 9e-4)
    assert "underfit: raise lr" in text
    nearer = (*RATES[:2], tried(2, 0.6, lr=5e-4))
    sweep, _ = suggested(study(["lr"], *nearer), higher, tmp_path)
    assert values(sweep, "lr") == (1e-4, 3e-4)


def test_advice_on_a_knob_that_was_not_swept_is_taken_or_tried(tmp_path: Path) -> None:
    findings = {
        1: (
            found(
                "overfit",
                Advice("epochs", "lower", 2),
                Advice("dropout", "raise"),
                Advice("weight_decay", "raise"),
            ),
            found("majority_class", Advice("class_weights", "set", "balanced")),
            found("frozen_validation", Advice("data", "check")),
        )
    }
    sweep, text = suggested(study(["lr"], *RATES), findings, tmp_path)
    assert sweep.baseline["epochs"] == 2
    assert sweep.baseline["class_weights"] == "balanced"
    assert values(sweep, "dropout") == (0.1, 0.2)
    assert values(sweep, "weight_decay") == (0.01, 0.03)
    assert "epochs: 2  # overfit: lower epochs to 2 (seen)" in text
    assert "# frozen_validation: check data (seen)" in text
    assert len(sweep.parameters) == 3


def test_where_nothing_completed_the_advice_of_all_leads_on(tmp_path: Path) -> None:
    tries = [tried(0, 0.2, "stopped", lr=1e-9, freeze="full")]
    stuck = {0: (found("no_learning", Advice("lr", "raise"), Advice("freeze", "lower")),)}
    made = study(["lr", "freeze"], *tries)
    sweep, text = suggested(made, stuck, tmp_path)
    assert min(values(sweep, "lr")) > 1e-9
    assert "no_learning: raise lr" in text
    assert sweep.baseline["lr"] in values(sweep, "lr")


def test_words_keep_their_better_half(tmp_path: Path) -> None:
    tries = [tried(n, one, freeze=word) for n, (one, word) in
             enumerate([(0.5, "none"), (0.7, 2), (0.4, "full"), (0.6, "half")])]  # fmt: skip
    sweep, _ = suggested(study(["freeze"], *tries), {}, tmp_path)
    assert values(sweep, "freeze") == (2, "half")


def test_a_comment_cannot_leave_its_line(tmp_path: Path) -> None:
    sly = {1: (found("odd", Advice("data", "check"), message="a\nseed: 1\r\nmodel: x"),)}
    sweep, text = suggested(study(["lr"], *RATES), sly, tmp_path)
    assert (sweep.seed, sweep.model) == (7, "minilm")
    assert "# odd: check data (a seed: 1 model: x)" in text


STATUSES: tuple[Status, ...] = ("completed", "pruned", "stopped")
knob_values: dict[str, st.SearchStrategy[Any]] = {
    "lr": st.sampled_from([1e-9, 1e-5, 2e-4, 1e-3, 0.5, 1.0]),
    "dropout": st.sampled_from([0.0, 0.1, 0.8, 0.95]),
    "weight_decay": st.sampled_from([0.0, 0.01, 10.0]),
    "epochs": st.integers(1, 50),
    "batch_size": st.integers(1, 512),
    "freeze": st.sampled_from(["none", "embed", "half", "full", 0, 5, "embeddings.*"]),
    "warmup": st.sampled_from([0.0, 0.1, 0.9]),
    "schedule": st.sampled_from(["linear", "cosine"]),
}
advices = st.builds(
    Advice,
    st.sampled_from([*knob_values, "head_lr_multiplier", "max_gradient_norm", "data", "pooling"]),
    st.sampled_from(["raise", "lower", "check"]),
)
kinds = st.sampled_from(["no_learning", "divergence", "overfit", "underfit"])


@given(data=st.data(), names=st.lists(st.sampled_from([*knob_values]), min_size=1, unique=True))
@settings(max_examples=60)
def test_whatever_was_found_the_next_sweep_can_be_read(
    data: st.DataObject, names: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tries, findings = [], {}
    for number in range(data.draw(st.integers(1, 5))):
        knobs = {name: data.draw(knob_values[name]) for name in names}
        status = data.draw(st.sampled_from(STATUSES))
        value = data.draw(st.floats(0, 1))
        tries.append(tried(number, value, status, **knobs))
        said = data.draw(st.lists(st.tuples(kinds, st.lists(advices, max_size=3)), max_size=3))
        findings[number] = tuple(found(kind, *advice) for kind, advice in said)
    sweep, _ = suggested(study(names, *tries), findings, tmp_path_factory.mktemp("next"))
    assert sweep.parameters


def test_the_command_writes_beside_and_never_over(tmp_path: Path) -> None:
    write_sweep(tmp_path, "trainer: scripted\nparameters: {value: [0.1, 0.5, 0.9]}\n")
    assert run(tmp_path)[0] == 0
    code, printed = run(tmp_path, "suggest")
    assert code == 0, printed
    first = tmp_path / "sweeps" / "quality-next.yaml"
    text = first.read_text()
    assert text in printed
    assert "quality-next.yaml: run it with make sweep NAME=quality-next" in printed
    # 0.9 was the largest and the best, so it goes on from there.
    assert read_sweep(first, KINDS).parameters["value"].values == (0.671, 0.9, 1.62)
    assert run(tmp_path, "suggest")[0] == 0
    assert (tmp_path / "sweeps" / "quality-next2.yaml").read_text() == text
    assert first.read_text() == text
    code, printed = run(tmp_path, "suggest", NAME="nothing")
    assert code == 2
    assert "no study named 'nothing'" in printed
