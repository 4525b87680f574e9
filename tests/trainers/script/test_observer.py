"""The observer changes nothing about a script, and sees what its optimizer really used."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from tests.trainers.script.test_trainer import Heard, Run, job_of, run  # noqa: F401 - a fixture
from trytable.records import LaunchSettings, Scalar
from trytable.results.analysis.diagnosis.symptoms.learning_rate import (
    is_observed,
    schedule,
    with_knob_names,
)
from trytable.results.analysis.diagnosis.symptoms.trial import DiagnosedTrial
from trytable.results.analysis.diagnosis.symptoms.types import Symptom
from trytable.results.storage.rows import StepRow
from trytable.trainers.protocol.messages import Epoch, Finding, Started, Step
from trytable.trainers.script import trainer
from trytable.trainers.script.checks import ParameterCheck
from trytable.trainers.script.observation import (
    OBSERVER_FILE,
    OBSERVER_VARIABLE,
    Observation,
    observed_command,
)
from trytable.trainers.script.observer import FULL_DETAIL_STEPS, TrainingObserver, is_reported_step

Seen = Callable[..., Heard]

TRAIN = """
import argparse
import torch
from torch import nn

parser = argparse.ArgumentParser()
for name in ("lr", "weight_decay", "dropout"):
    parser.add_argument("--" + name, type=float)
args = parser.parse_args()
torch.manual_seed(1)
model = nn.Sequential(nn.Linear(4, 8), nn.Dropout({dropout}), nn.Linear(8, 2))
optimizer = torch.optim.AdamW(model.parameters(), lr={lr}, weight_decay={decay})
scheduler = {scheduler}
data = torch.utils.data.TensorDataset(torch.randn(80, 4), torch.randint(2, (80,)))
loader = torch.utils.data.DataLoader(data, batch_size=4)
for epoch in range(4):
    for points, labels in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(points), labels).backward()
        optimizer.step()
        scheduler.step()
    print("epoch", epoch, "dev acc :: 0.5")
"""
LINEAR = "torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 80)"
ASKED: dict[str, Scalar] = {"lr": 0.01, "weight_decay": 0.1, "dropout": 0.3}


def program(
    lr: str = "args.lr",
    decay: str = "args.weight_decay",
    dropout: str = "args.dropout",
    scheduler: str = LINEAR,
) -> str:
    return TRAIN.format(lr=lr, decay=decay, dropout=dropout, scheduler=scheduler)


def findings(heard: Heard) -> dict[str, str]:
    return {one.kind: one.message for one in heard.of(Finding)}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Seen]:
    """What is told of a program that runs in this very process, where torch is imported."""
    monkeypatch.setattr(DataLoader, "__iter__", DataLoader.__iter__)  # put back afterwards
    watches = []

    def look(text: str, asked: dict[str, Scalar] = ASKED, **launch: Any) -> Heard:
        words = [f"--{name}={value}" for name, value in asked.items()]
        monkeypatch.setattr(sys, "argv", ["its.py", *words])
        pipe = BytesIO()
        watch = TrainingObserver(pipe)
        watches.append(watch)
        watch.torch_imported(torch)
        exec(compile(text, "its.py", "exec"), {"__name__": "__main__"})  # noqa: S102 - ours
        watch.finish()
        heard = Heard(lambda _: False)
        given = LaunchSettings(**{"command": ("python", "its.py", "{params}"), **launch})
        job = job_of(tmp_path, given, asked)
        back = ParameterCheck(job, given, asked, heard, trainer._started(job, ""))
        told = Observation(job, heard, back)
        for at in range(0, len(pipe.getvalue()), 1000):
            told.feed(pipe.getvalue()[at : at + 1000])
        told.finish()
        return heard

    yield look
    for watch in watches:
        watch.detach()


def diagnosed(heard: Heard, asked: dict[str, Scalar] = ASKED) -> Symptom | None:
    """What is found of the rates as the ledger keeps them."""
    steps = tuple(
        StepRow("t", 1, s.step, s.epoch, s.loss, s.lr, s.gradient_norm, None)
        for s in heard.of(Step)
    )
    effective = heard.of(Started)[-1].effective
    settings = with_knob_names(asked, effective)
    known = DiagnosedTrial(settings=settings, steps=steps, is_observed=is_observed(effective))
    return schedule(known)


def test_an_honest_script_is_seen_and_not_blamed(run: Run) -> None:  # noqa: F811
    heard = run(program(), values=ASKED, observe=True)
    assert (findings(heard), diagnosed(heard)) == ({}, None)
    started = heard.of(Started)[-1]
    assert started.effective == {
        "optimizer": "AdamW",
        "parameter groups": "lr 0.01, weight decay 0.1, 58 parameters",
        "scheduler": "LambdaLR",
        "model": "Sequential",
        "dropout modules": "0.3 in 1",
        "batch size": 4,
        "taken as lr": "lr",
        "lr": 0.01,
        "weight_decay": 0.1,
        "dropout": 0.3,
    }
    assert (started.parameters, started.trainable_parameters) == (58, 58)
    assert started.steps_per_epoch == 20
    steps = heard.of(Step)
    assert [one.step for one in steps] == list(range(1, 81))
    assert [one.epoch for one in steps] == [1 + s // 20 for s in range(80)]
    rates = [0.01 * (1 - s / 80) for s in range(80)]
    assert [one.lr for one in steps] == pytest.approx(rates)
    assert len(heard.of(Epoch)) == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (program(decay="0.01"), "weight_decay: 0.1 requested, but the optimizer has 0.01"),
        (program(dropout="0.1"), "dropout: 0.3 requested, but the model's dropouts have 0.1"),
        (
            program(dropout="0.1", decay="0"),
            "weight_decay: 0.1 requested, but the optimizer has 0; "
            "dropout: 0.3 requested, but the model's dropouts have 0.1",
        ),
    ],
)
def test_what_never_arrived_is_named(text: str, said: str, seen: Seen) -> None:
    assert findings(seen(text)) == {"not_applied": said}


@pytest.mark.parametrize("lr", ["1e-3", "0.011", "0.008"])
def test_a_rate_that_was_not_asked_for_is_named(lr: str, seen: Seen) -> None:
    found = diagnosed(seen(program(lr=lr)))
    assert found is not None
    assert (found.variant, found.severity) == ("peak", "error")
    assert found.evidence["highest"] == float(lr)


def test_the_names_of_a_command_tell_what_is_meant(seen: Seen) -> None:
    command = ("{python}", "its.py", "--lr", "{speed}", "--weight_decay={wd}", "--dropout", "{d}")
    asked: dict[str, Scalar] = {"speed": 0.02, "wd": 0.3, "d": 0.4}
    text = program(lr="0.01", decay="0").replace("parse_args()", "parse_known_args()[0]")
    heard = seen(text.replace("args.dropout", "0.4"), asked, command=command)
    found = diagnosed(heard, asked)
    assert found is not None
    assert found.evidence["asked"] == 0.02
    assert findings(heard) == {"not_applied": "wd: 0.3 requested, but the optimizer has 0"}


def test_a_cosine_in_epochs_that_is_stepped_per_batch_is_named(seen: Seen) -> None:
    cosine = "torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)"
    text = program(scheduler=cosine).replace("parse_args()", "parse_known_args()[0]")
    asked: dict[str, Scalar] = {**ASKED, "epochs": 4}
    heard = seen(text, asked)
    assert findings(heard) == {}
    found = diagnosed(heard, asked)
    assert found is not None
    assert found.variant == "swinging_by_epochs"
    assert found.evidence["period_steps"] == 8
    assert found.evidence["steps_meant"] == 80
    assert found.evidence["asked"] == "cosine"


@pytest.mark.parametrize(
    ("scheduler", "variant"),
    [
        ("CosineAnnealingLR(optimizer, T_max=80)", None),
        ("CosineAnnealingLR(optimizer, T_max=80, eta_min=0.004)", None),
        ("CosineAnnealingLR(optimizer, T_max=800)", "above_floor"),
        ("CosineAnnealingWarmRestarts(optimizer, T_0=4)", None),
        ("LambdaLR(optimizer, lambda step: 1.0)", "constant"),
    ],
)
def test_the_course_of_a_schedule(scheduler: str, variant: str | None, seen: Seen) -> None:
    text = program(scheduler=f"torch.optim.lr_scheduler.{scheduler}")
    text = text.replace("parse_args()", "parse_known_args()[0]")
    asked: dict[str, Scalar] = dict(ASKED)
    if "Lambda" in scheduler:
        asked["lr_scheduler_type"] = "linear"
    found = diagnosed(seen(text, asked), asked)
    assert (found.variant if found else None) == variant


def test_a_parameter_that_no_group_holds_is_named(seen: Seen) -> None:
    text = program().replace("AdamW(model.parameters()", "AdamW(model[0].parameters()")
    text = text.replace("model = nn.Sequential(", "model = nn.Sequential(").replace(
        "cross_entropy(model(points)", "cross_entropy(model(points) * 1"
    )
    said = findings(seen(text))
    assert list(said) == ["parameters_in_no_group"]
    assert "2 trainable tensors" in said["parameters_in_no_group"]


def test_many_steps_are_thinned_and_peak_and_gradients_told(seen: Seen) -> None:
    late = "torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: 1.0 if s == 1000 else 0.1)"
    text = program(scheduler=late).replace("range(4)", "range(60)")
    heard = seen(text)
    by_step = {one.step: one for one in heard.of(Step)}
    assert len(by_step) < 900
    assert max(by_step) == 1200
    assert by_step[1001].lr == pytest.approx(0.01)  # between told ones, and the highest
    norms = {step: one.gradient_norm for step, one in by_step.items() if one.gradient_norm}
    assert list(norms) == list(range(100, 1201, 100))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("print('epoch 1: dev acc :: 0.1')", "the script never imported torch"),
        (
            program(dropout="0.0").replace("nn.Dropout(0.0)", "nn.Identity()"),
            "the model has no dropout module",
        ),
        (
            program()
            .replace("torch.optim.AdamW(", "Mine(")
            .replace("scheduler.step()", "")
            .replace(
                "parser = ",
                "import torch\nclass Mine:\n"
                "    def __init__(self, p, **_): pass\n"
                "    step = zero_grad = lambda self: None\n"
                "parser = ",
            )
            .replace(LINEAR, "None"),
            "no step of a torch.optim.Optimizer",
        ),
        ("import os\nprint('epoch 1: dev acc :: 0.1', flush=True)\nos._exit(0)", "imported torch"),
    ],
)
def test_what_cannot_be_seen_is_said_to_be_so(text: str, why: str, run: Run) -> None:  # noqa: F811
    (found,) = run(text, values=ASKED, observe=True).of(Finding)
    assert (found.kind, found.severity) == ("not_observed", "info")
    assert why in found.message


def test_a_command_that_is_no_script_is_not_observed(run: Run) -> None:  # noqa: F811
    heard = run("", command=("sh", "-c", "echo epoch 1: dev acc 0.5"), observe=True)
    assert findings(heard) == {
        "not_observed": "nothing was observed: the command starts sh, not a Python script"
    }


@pytest.mark.parametrize(
    ("words", "before"),
    [
        (["python", "a.py", "-x"], 1),
        (["/b/python3.12", "-u", "-X", "dev", "-Wignore", "a.py"], 5),
        (["python3", "-m", "package.train", "-x"], 1),
        (["python", "-c", "a.py"], None),
        (["python", "-"], None),
        (["python", "-i", "a.py"], None),
        (["python", "-m"], None),
        (["python"], None),
        (["bash", "a.py"], None),
        (["torchrun", "a.py"], None),
    ],
)
def test_scripts_of_python_alone_are_observed(words: list[str], before: int | None) -> None:
    command, reason = observed_command(tuple(words))
    if before is None:
        assert (command, bool(reason)) == (tuple(words), True)
    else:
        assert command == (*words[:before], str(OBSERVER_FILE), *words[before:])


def both(folder: Path, text: str, *arguments: str, module: bool = False) -> Any:
    """A script by itself, and under the observer; and what the observer told."""
    (folder / "sub").mkdir()
    (folder / "sub" / "its.py").write_text(textwrap.dedent(text))
    (folder / "sub" / "data.py").write_text("WHOSE = 'its own'\n")  # ours has this name, too
    (folder / "data.py").write_text("WHOSE = 'its own'\n")
    plain = [sys.executable, *(["-m", "sub.its"] if module else ["sub/its.py"]), *arguments]
    watched, reason = observed_command(tuple(plain))
    assert not reason
    env = {key: one for key, one in os.environ.items() if key != "PYTHONPATH"}
    with (folder / "told").open("wb") as told:
        known = {**env, OBSERVER_VARIABLE: str(told.fileno())}
        done = [
            subprocess.run(
                words,
                cwd=folder,
                env=environment,
                capture_output=True,
                check=False,
                pass_fds=[told.fileno()] if environment is known else [],
            )
            for words, environment in ((plain, env), (watched, known))
        ]
    said = [json.loads(line) for line in (folder / "told").read_text().splitlines()]
    return *done, said


LOOK = """
    import os, pickle, sys, inspect, data, __main__
    class Point: pass
    assert type(pickle.loads(pickle.dumps(Point()))) is Point
    print(sys.argv, __name__, __file__, __spec__, __package__, __doc__, sys.path[0], data.WHOSE)
    print(sorted(vars(__main__)), inspect.getsource(Point), sys.flags, os.getcwd())
    print(open(__file__).fileno())
    print("to errors", file=sys.stderr)
"""


@pytest.mark.parametrize(
    "end",
    ["", "sys.exit(3)", "sys.exit('why')", "raise ValueError('x')", "os._exit(4)",
     "os.kill(os.getpid(), 15)", "def f(: pass"],
)  # fmt: skip
def test_a_script_finds_everything_as_without_us(end: str, tmp_path: Path) -> None:
    plain, watched, _ = both(tmp_path, LOOK + f"    {end}\n", "-a", "b c")
    assert (plain.returncode, plain.stdout) == (watched.returncode, watched.stdout)
    assert plain.stderr == watched.stderr


@pytest.mark.parametrize("end", ["sys.exit(3)", "raise ValueError('x')"])
def test_a_module_finds_everything_as_without_us(end: str, tmp_path: Path) -> None:
    text = "import os, sys\nprint(sys.argv[1:], __name__, __spec__.name, sys.path[0])\n" + end
    plain, watched, _ = both(tmp_path, text, "-a", module=True)
    assert (plain.returncode, plain.stdout) == (watched.returncode, watched.stdout)
    assert plain.stderr == watched.stderr


def test_results_are_the_same_to_the_last_bit_and_children_tell_nothing(tmp_path: Path) -> None:
    text = (
        program()
        + """
print([p.tolist() for p in model.parameters()], torch.rand(3).tolist(), flush=True)
import os
if os.fork() == 0:
    optimizer.step()
    raise SystemExit
os.wait()
"""
    )
    arguments = [word for name, value in ASKED.items() for word in (f"--{name}", str(value))]
    plain, watched, said = both(tmp_path, text, *arguments)
    assert plain.returncode == 0, plain.stderr
    assert (plain.stdout, plain.stderr) == (watched.stdout, watched.stderr)
    assert [next(iter(one)) for one in said] == ["torch", "first", *["step"] * 80, "end"]


def test_torch_is_not_imported_for_a_script_that_does_without(tmp_path: Path) -> None:
    _, watched, said = both(tmp_path, "import sys; print('torch' in sys.modules)")
    assert (watched.stdout, said) == (b"False\n", [])


def test_ever_fewer_steps_are_told() -> None:
    told = [step for step in range(1, 100_001) if is_reported_step(step)]
    assert told[:FULL_DETAIL_STEPS] == list(range(1, FULL_DETAIL_STEPS + 1))
    assert len(told) < 3000
    assert all(
        after - before <= before / 100 for before, after in pairwise(told[FULL_DETAIL_STEPS:])
    )
