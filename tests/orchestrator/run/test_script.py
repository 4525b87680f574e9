"""Sweeps of scripts through the command line, from scripts that behave and that do not."""

import json
import signal
import textwrap
from pathlib import Path

import psutil
import pytest

from tests.orchestrator.running import family, run, said, start, wait_all_gone, wait_for
from trytable.orchestrator.paths import Folders
from trytable.results.analysis.diagnosis.api import diagnose
from trytable.results.storage.reader import read_study
from trytable.results.storage.study import StudyResult

HEAD = """
trainer: script
command: ["{python}", train.py, "{params}"]
objective: {name: dev_acc, direction: maximize}
"""


def write(folder: Path, program: str, sweep: str, head: str = HEAD) -> None:
    (folder / "sweeps").mkdir(parents=True, exist_ok=True)
    (folder / "train.py").write_text(textwrap.dedent(program))
    (folder / "sweeps" / "quality.yaml").write_text(head + sweep)


def study(folder: Path) -> StudyResult:
    return read_study(Folders(folder / "runs", "quality").url, "quality")


CHAOS = r"""
import argparse, os, pathlib, signal, subprocess, sys, time

parser = argparse.ArgumentParser()
parser.add_argument("--how")
parser.add_argument("--lr", type=float)
args = parser.parse_args()
child = [sys.executable, "-c",
         "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"]


def tell(epochs):
    for epoch in range(epochs):
        print(f"epoch {epoch}: train loss :: 1.0, dev acc :: {0.1 + args.lr * epoch}")


match args.how:
    case "well":
        tell(3)
    case "crash":
        tell(1)
        raise RuntimeError("it broke")
    case "die":
        tell(1)
        os.kill(os.getpid(), signal.SIGKILL)
    case "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        tell(1)
        time.sleep(600)
    case "fork":
        subprocess.Popen(child, start_new_session=True)
        subprocess.Popen(child)
        tell(2)
    case "garbage":
        sys.stdout.buffer.write(os.urandom(2**20) + b"{" * 2**20 + b"\r\n" * 2**15)
        tell(2)
    case "silent":
        pass
    case "nan":
        print("epoch 0: dev acc :: nan")
"""


def test_every_point_of_a_chaos_ends_in_one_named_state(tmp_path: Path) -> None:
    sweep = """
attempts: 2
no_progress_minutes: 0.02
grace_seconds: 0.2
parameters:
  how: [well, crash, die, hang, fork, garbage, silent, nan]
  lr: [0.1, 0.2, 0.3]
"""
    write(tmp_path, CHAOS, sweep)
    code, printed = run(tmp_path, SLOTS="2")
    assert code == 0, printed
    found = {(one.settings["how"], one.settings["lr"]): one for one in study(tmp_path).trials}
    assert len(found) == 24
    ends = {how: ("failed", f"{kind}: ") for how, kind in {
        "crash": "exit_code", "die": "killed", "hang": "no_progress", "silent": "no_metric",
        "nan": "no_metric",
    }.items()}  # fmt: skip
    for (how, _), one in found.items():
        status, reason = ends.get(how, ("completed", ""))
        assert (one.status, one.reason[: len(reason)]) == (status, reason), one
    assert {len(found["die", lr].attempts) for lr in (0.1, 0.2, 0.3)} == {2}
    assert "RuntimeError: it broke" in found["crash", 0.1].reason
    assert found["well", 0.3].best_value == pytest.approx(0.7)
    assert not [p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(tmp_path)]


SLOW = """
import os, subprocess, sys, time
print("epoch 0: dev acc :: 0.1")
subprocess.Popen(["sleep", "600"], start_new_session=True)
time.sleep(600)
"""


def test_nothing_is_left_when_the_orchestrator_is_killed(tmp_path: Path) -> None:
    head = HEAD.replace(', "{params}"', ', "{lr}"')
    write(tmp_path, SLOW, "parameters: {lr: [1, 2]}\n", head)
    process = start(tmp_path, SLOTS="2")
    wait_for(process, lambda: said(tmp_path, "epoch") == 2)
    wait_for(process, lambda: sum(one.name() == "sleep" for one in family(process)) == 2)
    processes = family(process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_all_gone(processes)


def test_a_pruned_script_is_stopped(tmp_path: Path) -> None:
    program = """
        import sys, time
        lr = float(sys.argv[2])
        for epoch in range(4):
            print(f'{{"epoch": {epoch}, "dev_acc": {lr + epoch / 100}}}')
            time.sleep(0 if lr > 0.2 else 0.3)
    """
    sweep = """
parameters: {lr: [0.9, 0.8, 0.1]}
pruner: {name: median, startup_trials: 2, warmup_epochs: 0}
"""
    write(tmp_path, program, sweep)
    code, printed = run(tmp_path, SLOTS="1")
    assert code == 0, printed
    assert [one.status for one in study(tmp_path).trials] == ["completed", "completed", "pruned"]


FAULTY = """
import argparse
import torch

parser = argparse.ArgumentParser()
parser.add_argument("--fault")
parser.add_argument("--lr", type=float)
parser.add_argument("--weight_decay", type=float)
parser.add_argument("--epochs", type=int)
args = parser.parse_args()
model = torch.nn.Linear(4, 2)
lr = 1e-4 if args.fault == "rate" else args.lr
decay = 0.0 if args.fault == "decay" else args.weight_decay
optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=decay)
length = args.epochs if args.fault == "cosine" else args.epochs * 20
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=length)
rows = torch.utils.data.TensorDataset(torch.randn(80, 4), torch.randint(2, (80,)))
for epoch in range(args.epochs):
    for points, labels in torch.utils.data.DataLoader(rows, batch_size=4, shuffle=True):
        torch.nn.functional.cross_entropy(model(points), labels).backward()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    print("epoch", epoch, "dev acc :: 0.5")
"""


def test_what_a_script_does_otherwise_than_asked_is_named(tmp_path: Path) -> None:
    """From scripts that print nothing about it."""
    sweep = """
baseline: {lr: 5e-5, weight_decay: 0.01, epochs: 4}
parameters: {fault: [none, rate, decay, cosine]}
"""
    write(tmp_path, FAULTY, sweep)
    code, printed = run(tmp_path, SLOTS="2")
    assert code == 0, printed
    found = study(tmp_path)
    told = {
        one.settings["fault"]: {finding.kind: finding.message for finding in diagnosed}
        for one, diagnosed in zip(found.trials, diagnose(found).values(), strict=True)
    }
    assert {fault: list(kinds) for fault, kinds in told.items()} == {
        "none": [],
        "rate": ["schedule"],
        "decay": ["not_applied"],
        "cosine": ["schedule"],
    }
    assert "peaked at 0.0001, 2 times the requested 5e-05" in told["rate"]["schedule"]
    assert told["decay"]["not_applied"] == "weight_decay: 0.01 requested, but the optimizer has 0"
    assert "period of 8 steps" in told["cosine"]["schedule"]
    assert "falls for 4 steps, the number of epochs" in told["cosine"]["schedule"]
    assert "80 steps" in told["cosine"]["schedule"]
    code, printed = run(tmp_path, "show", TRY="3")
    assert (code, "AdamW" in printed) == (0, True), printed


def test_event_files_and_a_metric_that_is_to_be_small(tmp_path: Path) -> None:
    program = """
        import sys
        from tensorboardX import SummaryWriter
        with SummaryWriter(sys.argv[2]) as writer:
            for step in (10, 20, 30):
                writer.add_scalar("val/loss", float(sys.argv[1]) / step, step)
    """
    head = HEAD.replace('"{params}"', '"{lr}", "{out}/board"').replace(
        "dev_acc, direction: maximize", "val_loss, direction: minimize"
    )
    write(tmp_path, program, "metrics: {file: '{out}/board'}\nparameters: {lr: [3, 6]}\n", head)
    code, printed = run(tmp_path, SLOTS="1", SET="observe=false")
    assert code == 0, printed
    assert [one.best_value for one in study(tmp_path).ranked] == pytest.approx([0.1, 0.2])
    assert [one.epochs_run for one in study(tmp_path).trials] == [3, 3]


def test_what_cannot_run_is_refused_before_a_trial(tmp_path: Path) -> None:
    write(tmp_path, "", "parameters: {lr: [1]}\ncwd: nowhere\n")
    code, printed = run(tmp_path)
    assert (code, "nowhere is not a folder" in printed) == (2, True), printed
    assert not (tmp_path / "runs" / "quality").exists()


def test_a_config_file_gets_the_values_and_stays_as_it_was(tmp_path: Path) -> None:
    program = """
        import json, sys
        config = json.load(open(sys.argv[1]))
        assert config["keep"] == 1
        print(json.dumps({"epoch": 1, "dev_acc": config["model"]["dropout"]}))
    """
    head = HEAD.replace('"{params}"', '"{config}"') + "config: base.json\n"
    write(tmp_path, program, "parameters: {model.dropout: [0.1, 0.2]}\n", head)
    base = json.dumps({"keep": 1, "model": {"dropout": 0.5}})
    (tmp_path / "base.json").write_text(base)
    code, printed = run(tmp_path, SLOTS="1")
    assert code == 0, printed
    assert [one.best_value for one in study(tmp_path).trials] == [0.1, 0.2]
    assert (tmp_path / "base.json").read_text() == base
    code, printed = run(tmp_path, "rerun", TRY="2")
    assert code == 0, printed
    code, printed = run(tmp_path, "suggest")
    assert (code, "ran a script" in printed) == (2, True), printed
    (tmp_path / "base.json").write_text("{}")
    code, printed = run(tmp_path)
    assert (code, "has no key model.dropout" in printed) == (2, True), printed


@pytest.mark.parametrize("name", ["{a} {", "{lr}/{{lr}}"])
def test_a_folder_with_braces_in_its_name(tmp_path: Path, name: str) -> None:
    """What would be a place in a command is no place in the path that one stands in."""
    folder = tmp_path / name
    folder.mkdir(parents=True)
    program = "import sys; print(f'epoch 0: dev acc :: {sys.argv[1]}')"
    head = HEAD.replace('"{params}"', '"{lr}"')
    write(folder, program, "parameters: {lr: [0.1]}\n", head)
    code, printed = run(folder)
    assert code == 0, printed
    assert study(folder).trials[0].best_value == pytest.approx(0.1)
