"""The checks before a sweep, with known answers."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainers.small import Recorder, job_for, save_data
from trytable.records import Leak
from trytable.trainers.data.tokens import TokenSplit
from trytable.trainers.entrypoints import diagnose
from trytable.trainers.finetune.trainer import TrainingRun
from trytable.trainers.models.backbone import LoadedModel, transformer_layers
from trytable.trainers.protocol.messages import Check


def split_of(labels: list[int], lengths: list[int] | None = None) -> TokenSplit:
    sizes = lengths or [3] * len(labels)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    ids = np.ones(int(offsets[-1]), dtype=np.int32)
    return TokenSplit(ids, offsets, np.array(labels, dtype=np.int64), None)


def made(folder: Path, model: LoadedModel, **knobs: Any) -> TrainingRun:
    job, settings = job_for(folder, model.folder, **knobs)
    return TrainingRun(job, settings, Recorder(), model)


def row(check: Check, name: str) -> Any:
    return dict(check.rows)[name]


def test_labels_beyond_the_classes_and_classes_without_sentences() -> None:
    beyond = diagnose.check_labels({"train": split_of([0, 1, 425])}, 400)
    assert beyond.verdict == "failed"
    assert "train has labels from 0 to 425; allowed: 0 to 399" in beyond.message
    missing = diagnose.check_labels({"train": split_of([0, 2])}, 3)
    assert (missing.verdict, missing.message) == ("failed", "no train sentence is of class 1")
    sound = diagnose.check_labels({"train": split_of([0, 1]), "test": split_of([-1, 1])}, 2)
    assert sound.verdict == "ok"
    assert row(sound, "test without a label") == 1


def test_the_share_of_the_largest_class() -> None:
    even = diagnose.check_class_balance(split_of([0, 1] * 20), ("no", "yes"))
    assert (even.verdict, row(even, "majority share")) == ("ok", 0.5)
    assert row(even, "loss of guessing") == pytest.approx(math.log(2))
    skewed = diagnose.check_class_balance(split_of([1] * 90 + [0] * 10), ("no", "yes"))
    assert skewed.verdict == "warning"
    assert "yes, is 90.0% of train" in skewed.message
    rare = diagnose.check_class_balance(split_of([1] * 20 + [0] * 9), ("no", "yes"))
    assert "class no has only 9 sentences" in rare.message
    assert "class_weights" in rare.message
    mistyped = diagnose.check_class_balance(split_of([1] * 200 + [0]), ("n o", "yes"))
    assert mistyped.message.endswith("; check its label")


def test_texts_in_two_splits() -> None:
    assert diagnose.check_leaks([]).verdict == "ok"
    leaks = [
        Leak(split="dev", other="train", size=100, shared=shared, other_label=1)
        for shared in (1, 2)
    ]
    assert diagnose.check_leaks(leaks[:1]).verdict == "ok"
    found = diagnose.check_leaks(leaks)
    assert (found.verdict, row(found, "of them with another label")) == ("warning", 1)
    assert "2.0% of the dev texts are also in train" in found.message


def test_lengths_and_what_is_likely_cut_off() -> None:
    short = diagnose.check_lengths(split_of([0] * 10, [4] * 9 + [16]), 16)
    assert (short.verdict, row(short, "median"), row(short, "longest")) == ("ok", 4.0, 16)
    assert row(short, "share as long as that") == 0.1
    assert diagnose.check_lengths(split_of([0] * 10, [4] * 8 + [16] * 2), 16).verdict == "warning"


def test_counts_of_parameters_and_rates_of_groups(odd: Path, bert: LoadedModel) -> None:
    run = made(odd, bert, freeze=3, lr=1e-3, warmup=0.0, schedule="linear", head_lr_multiplier=10)
    counted = diagnose.check_parameters(run)
    head = 2 * 16 + 2
    assert (counted.verdict, row(counted, "trained")) == ("warning", head)
    assert row(counted, "in all") == sum(p.numel() for p in run.model.parameters())
    assert row(counted, "trained in layer.0") == 0
    rated = diagnose.check_learning_rates(run)
    # 70 sentences in batches of 8, two epochs: 18 steps.
    assert row(rated, "head first (step 1)") == pytest.approx(1e-2)
    assert row(rated, "head last (step 18)") == pytest.approx(1e-2 / 18)


def test_one_step_leaves_the_weights_alone_and_finds_what_is_cut_off(
    odd: Path, bert: LoadedModel
) -> None:
    run = made(odd, bert)
    before = [p.detach().clone() for p in run.model.parameters()]
    sound = diagnose.check_first_step(run)
    assert sound.verdict == "ok"
    assert row(sound, "loss") == pytest.approx(math.log(2), abs=0.05)
    assert all((a == b).all() for a, b in zip(before, run.model.parameters(), strict=True))
    middle = transformer_layers(run.model.backbone)[1]
    middle.register_forward_hook(lambda _module, _inputs, output: output.detach())
    cut = diagnose.check_first_step(run)
    assert cut.verdict == "failed"
    assert cut.message == "no gradient reaches embeddings, layer.0, layer.1"


def test_by_heart_at_a_rate_that_learns_and_at_one_that_does_not(
    odd: Path, bert: LoadedModel
) -> None:
    *said, check = diagnose.check_memorization(made(odd, bert, lr=5e-3, dropout=0.0))
    assert isinstance(check, Check)
    assert check.verdict == "ok"
    assert row(check, "sentences") == 70
    assert len(said) == row(check, "epochs")
    *_, check = diagnose.check_memorization(made(odd / "b", bert, lr=1e-9, dropout=0.0))
    assert isinstance(check, Check)
    assert (check.verdict, row(check, "epochs")) == ("failed", diagnose.MAX_EPOCHS)


def test_the_program_says_each_check_as_it_is_made(odd: Path, bert_folder: Path) -> None:
    job, _ = job_for(odd, bert_folder, lr=5e-3)
    asked = job.model_dump() | {"data": {"name": str(save_data(odd / "data"))}}
    done = subprocess.run(
        [sys.executable, "-m", "trytable.trainers.entrypoints.diagnose"],
        input=json.dumps(asked).encode(), capture_output=True, check=True,
    )  # fmt: skip
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert said[0] == {"progress": "Reading data and model"}
    made = [Check.model_validate(one["result"]) for one in said if "result" in one]
    assert [one.name for one in made] == [
        "labels", "class balance", "shared texts", "text lengths", "parameters", "learning rates",
        "one step", "by heart",
    ]  # fmt: skip
    assert "failed" not in [one.verdict for one in made]
