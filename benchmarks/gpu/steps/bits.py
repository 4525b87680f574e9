"""The same bits: after a resume, and in a rerun."""

import io
import json
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from safetensors.torch import load_file

from benchmarks.gpu import trials
from benchmarks.gpu.records import Notes
from benchmarks.gpu.space import Space
from trytable.orchestrator.commands.train.rerun import rerun_trial
from trytable.trainers.protocol.messages import AnyEvent, Checkpoint, Epoch, Step

EPOCHS = 3


def whole_study(space: Space) -> trials.StudyRun:
    """Run the uninterrupted trial, unless an earlier step has."""
    return _study(space, "whole")


def _study(space: Space, name: str) -> trials.StudyRun:
    baseline = {"epochs": EPOCHS, "batch_size": space.sizes.batch, "log_every_steps": 1}
    return trials.run_study(space, name, {"lr": [1e-4]}, baseline)


def resume(space: Space, notes: Notes) -> None:
    """Drain a trial in the middle of its second epoch, continue it, and compare the two."""
    whole = whole_study(space)
    steps = -(-space.sizes.train // space.sizes.batch)
    with _InterruptAt(whole.folders.runs / "drained" / "trials" / "0000", steps + steps // 2):
        drained = _study(space, "drained")
    notes.require(drained.outcome.interrupted, "the trial was not interrupted")
    resumed = _study(space, "drained")
    events = [*drained.events(0), *resumed.events(0, 2)]
    saved = [event.step for event in events if isinstance(event, Checkpoint)]
    second = trials.started(resumed.events(0, 2))
    notes.figure("resumed from step", second.resumed_from_step if second else None)
    notes.require(bool(saved and second and second.resumed_from_step), "nothing was resumed")
    for problem in differences(whole.events(0), events):
        notes.require(False, problem)
    _compare_weights(trials.weights(whole.folders, 0), trials.weights(resumed.folders, 0), notes)


def differences(whole: Sequence[AnyEvent], resumed: Sequence[AnyEvent]) -> list[str]:
    """Return the first step, and the epochs and results, that are not the same to the last bit.

    If several attempts took a step, the last one counts.
    """
    problems = []
    first, second = ({e.step: e for e in part if isinstance(e, Step)} for part in (whole, resumed))
    numbers = ("loss", "lr", "gradient_norm", "weight_norm")
    for step, event in first.items():
        other = second.get(step)
        pairs = [(getattr(event, name), getattr(other, name, None)) for name in numbers]
        if any(one != two for one, two in pairs):
            problems.append(f"step {step} differs: {dict(zip(numbers, pairs, strict=True))}")
            break
    for kind in ("epochs", "result"):
        one, two = (_measured(part, kind) for part in (whole, resumed))
        if one != two or not one:
            problems.append(f"the {kind} differ: {one} and {two}")
    return problems


def _measured(events: Sequence[AnyEvent], kind: str) -> list[object]:
    if kind == "epochs":
        found = [event for event in events if isinstance(event, Epoch)]
        return [(e.epoch, e.train_loss, e.dev_loss, e.dev_accuracy) for e in found]
    result = trials.finished(events)
    return [] if result is None else [result.dev_predictions, result.test_predictions]


def _compare_weights(one: Path, two: Path, notes: Notes) -> None:
    first, second = load_file(one), load_file(two)
    differing = [name for name in first if not first[name].equal(second[name])]
    notes.figure("weights compared", len(first))
    notes.require(first.keys() == second.keys(), "the two models have other weights")
    notes.require(not differing, f"{len(differing)} weights differ, such as {differing[:1]}")


class _InterruptAt:
    """Sends Ctrl-C to this process, once, as soon as a trial has taken so many steps."""

    def __init__(self, folder: Path, step: int) -> None:
        self._events, self._step = folder / "events.jsonl", step
        self._end = threading.Event()

    def __enter__(self) -> None:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        mark = f'"step":{self._step},'
        while not self._end.wait(0.005):
            if self._events.exists() and mark in self._events.read_text():
                os.kill(os.getpid(), signal.SIGINT)
                return


def rerun(space: Space, notes: Notes) -> None:
    """Train the uninterrupted trial again from its record."""
    study = whole_study(space)
    printed = io.StringIO()
    began = time.monotonic()
    outcome = rerun_trial(study.folders, 1, Console(file=printed, width=200))
    notes.figure("seconds", time.monotonic() - began)
    print(printed.getvalue())
    (folder,) = study.folders.reruns(0)
    document = json.loads((folder / "rerun.json").read_text())
    notes.figure("verdict", document["verdict"])
    notes.require(outcome.as_expected, "the rerun failed, or did not give the same bits")
    notes.figure("steps compared", document["steps_compared"])
    notes.require(document["same_to_the_last_bit"], f"it differs: {document['first_difference']}")
