"""What the observer (trainers/script/observer.py) tells of a script, as events and findings."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trytable.records import Scalar
from trytable.trainers.protocol.messages import Job, Line, Step
from trytable.trainers.script.checks import ParameterCheck, number, same

OBSERVER_FILE = Path(__file__).with_name("observer.py")
OBSERVER_VARIABLE = "TRYTABLE_OBSERVE"
MAX_LINE_BYTES = 1 << 20

_PYTHON = re.compile(r"python(\d+(\.\d+)*)?")
_ALONE = re.compile(r"-[BbdEIOPqsSuv]+")
_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")


def observed(words: Sequence[str]) -> tuple[str, ...] | str:
    """The command with the observer before its script, or why nothing can be observed."""
    if not _PYTHON.fullmatch(Path(words[0]).name):
        return f"the command starts {Path(words[0]).name}, not a Python script"
    at = 1
    while at < len(words) and words[at].startswith("-") and words[at] != "-m":
        if words[at] in _WITH_VALUE:
            at += 1
        elif not (_ALONE.fullmatch(words[at]) or words[at].startswith(("-W", "-X"))):
            return f"the command's {words[at]} runs something else than a script's file"
        at += 1
    if at >= len(words) or words[at:] == ["-m"]:
        return "the command names no script"
    return (*words[:at], str(OBSERVER_FILE), *words[at:])


class Observation:
    """Takes what the observer tells.

    Args:
        job: the attempt.
        line: where steps go.
        read_back: takes what was read back.
        why_not: why nothing is observed, where that is known beforehand.
    """

    def __init__(self, job: Job, line: Line, read_back: ParameterCheck, why_not: str = "") -> None:
        self._job = job
        self._line = line
        self._read_back = read_back
        self._why_not = why_not
        self._held = b""
        self._group = 0
        self._unseen: list[str] = []
        self._wrong: dict[str, tuple[str, Scalar]] = {}
        self._torch = ""
        self._has_steps = False
        self._last_step = 0

    @property
    def has_steps(self) -> bool:
        """Whether optimizer steps are seen."""
        return self._has_steps

    def feed(self, chunk: bytes) -> None:
        """Take in the next bytes. What is no message of the observer's is passed over."""
        *lines, self._held = (self._held + chunk).split(b"\n")
        self._held = self._held[:MAX_LINE_BYTES]
        for line in lines:
            try:
                told = json.loads(line)
            except ValueError:
                continue
            if isinstance(told, dict):
                self._take(told)

    def _take(self, told: dict[str, Any]) -> None:
        match told:
            case {"torch": str(version)}:
                self._torch = version
            case {"first": dict(first)}:
                self._first(first)
            case {"step": dict(step)}:
                self._step(step)
            case {"end": dict(end)}:
                self._end(end)
            case _:
                pass

    def _first(self, told: dict[str, Any]) -> None:
        self._has_steps = True
        groups = told["groups"]
        self._group = self._group_asked_for(groups)
        effective: dict[str, Scalar] = {"optimizer": told["optimizer"]}
        effective |= self._of_groups(groups) | _of_scheduler(told.get("scheduler"))
        effective |= self._of_roles()
        if told.get("batch_size") is None:
            self._unseen.append("the batch size (no data loader of torch)")
        effective |= self._batch_size(told)
        if "model" in told:
            effective |= self._of_model(told)
        else:
            self._unseen.append("the model (no module holds what is optimised)")
        sizes = {
            name: told[key]
            for name, key in (("parameters", "parameters"), ("trainable_parameters", "trainable"))
            if key in told
        }
        steps = {"steps_per_epoch": told["batches"]} if told.get("batches") else {}
        self._read_back.add(effective, **sizes, **steps)
        self._say_not_applied()

    def _group_asked_for(self, groups: Sequence[Mapping[str, Any]]) -> int:
        """The group that has the rate asked for, else the largest one."""
        name = self._read_back.of_role("lr")
        for index, group in enumerate(groups):
            if name is not None and same(self._read_back.asked[name], group["lr"]):
                return index
        return max(range(len(groups)), key=lambda index: groups[index]["parameters"])

    def _of_groups(self, groups: Sequence[Mapping[str, Any]]) -> dict[str, Scalar]:
        asked, effective = self._read_back.asked, dict[str, Scalar]()
        told = "; ".join(
            f"lr {_short(g['lr'])}, weight decay {_short(g['weight_decay'])}, "
            f"{g['parameters']} parameters"
            for g in groups
        )
        effective["parameter groups"] = told
        rate = self._read_back.of_role("lr")
        if rate is not None:
            effective[rate] = groups[self._group]["lr"]
        decay = self._read_back.of_role("weight_decay")
        if decay is not None:
            found = [g["weight_decay"] for g in groups if g["weight_decay"] is not None]
            arrived = any(same(asked[decay], one) for one in found)
            effective[decay] = asked[decay] if arrived else max(found, default=None)
            if not found:
                self._unseen.append("weight decay (the optimizer has none of torch's kind)")
            elif not arrived:
                self._not_applied(decay, f"the optimizer has {_listed(found)}", max(found))
        return effective

    def _batch_size(self, told: Mapping[str, Any]) -> dict[str, Scalar]:
        size, name = told.get("batch_size"), self._read_back.of_role("batch_size")
        if size is None:
            return {}
        if name is None:
            return {"batch size": size}
        if not same(self._read_back.asked[name], size):
            self._not_applied(name, f"the data loader makes batches of {size}", size)
        return {name: size}

    def _of_model(self, told: Mapping[str, Any]) -> dict[str, Scalar]:
        dropouts = {float(p): count for p, count in told["dropouts"].items()}
        shown = ", ".join(f"{_short(p)} in {count}" for p, count in sorted(dropouts.items()))
        effective: dict[str, Scalar] = {"model": told["model"], "dropout modules": shown or "none"}
        asked = self._read_back.dropouts()
        for name in asked:
            wanted = self._read_back.asked[name]
            if any(same(wanted, p) for p in dropouts):
                effective[name] = wanted
            elif dropouts:
                found = f"the model's dropouts have {_listed(sorted(dropouts))}"
                effective[name] = max(dropouts)
                self._not_applied(name, found, max(dropouts))
        if asked and not dropouts:
            self._unseen.append(
                "dropout (the model has no dropout module; F.dropout shows no trace)"
            )
        if told["in_no_group"]:
            names = ", ".join(told["in_no_group_names"])
            self._read_back.find(
                "parameters_in_no_group",
                "warning",
                f"{told['in_no_group']} trainable tensors are in no group of the optimizer, so "
                f"they never change: {names}",
                count=told["in_no_group"],
                names=names,
            )
        return effective

    def _of_roles(self) -> dict[str, Scalar]:
        """Which parameters were taken for which knob, for those who read the steps later."""
        found = {role: self._read_back.of_role(role) for role in ("lr", "epochs", "schedule")}
        return {f"taken as {role}": name for role, name in found.items() if name is not None}

    def _not_applied(self, name: str, found: str, effective: Scalar) -> None:
        self._wrong[name] = (found, effective)

    def _say_not_applied(self) -> None:
        """One finding for all parameters that were asked for and never arrived."""
        asked, evidence = self._read_back.asked, dict[str, Scalar]()
        told = []
        for name, (found, effective) in self._wrong.items():
            told.append(f"{name}: {_short(asked[name])} asked, but {found}")
            evidence |= {f"{name}.requested": asked[name], f"{name}.effective": effective}
        if told:
            self._read_back.find("not_applied", "error", "; ".join(told), **evidence)

    def _step(self, told: Mapping[str, Any]) -> None:
        rates = told["lr"]
        self._last_step = told["step"]
        self._line.say(
            Step(
                attempt=self._job.attempt,
                step=told["step"],
                epoch=told.get("epoch") or 1,
                lr=rates[self._group] if self._group < len(rates) else None,
                gradient_norm=told.get("gradient_norm"),
            )
        )

    def _end(self, told: Mapping[str, Any]) -> None:
        peak, last = told.get("peak"), told.get("last")
        if last is not None and last["step"] != self._last_step:
            self._step(last)
        if peak is not None:
            self._step(peak)  # of all, this one was between those that are told
        if told.get("decay_changed_at"):
            at = told["decay_changed_at"]
            text = f"the weight decay was changed by step {at}"
            self._read_back.find("weight_decay_changed", "info", text, step=at)
        if told.get("other_optimizers"):
            self._unseen.append(f"{told['other_optimizers']} more optimizers than the first one")

    def finish(self) -> None:
        """Say what could not be observed: it may be right, and nobody knows."""
        why = self._why_not or self._why_nothing()
        unseen = [f"nothing was observed: {why}"] if why else self._unseen
        if unseen:
            self._read_back.find("not_observed", "info", "; ".join(unseen))

    def _why_nothing(self) -> str:
        if self._has_steps:
            return ""
        if not self._torch:
            return "the script never imported torch"
        return (
            "no step of a torch.optim.Optimizer was taken in the script's own process"
            f" (torch {self._torch})"
        )


def _of_scheduler(told: Mapping[str, Any] | None) -> dict[str, Scalar]:
    if told is None:
        return {"scheduler": "none of torch's kind"}
    numbers = {f"scheduler {name}": value for name, value in told.items() if name != "name"}
    return {"scheduler": told["name"], **numbers}


def _listed(values: Sequence[float]) -> str:
    return ", ".join(dict.fromkeys(_short(value) for value in values))


def _short(value: Any) -> str:
    found = number(value)
    return str(value) if found is None else f"{found:.6g}"
