"""Turns what the observer in a script reports (trainers/script/observer.py) into events.

What the script's optimizer, model and data loader really used is compared with the parameters that
were requested. Differences become findings, and what could not be observed is reported too.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trytable.records import Scalar
from trytable.trainers.protocol.messages import Job, Line, Step
from trytable.trainers.script.checks import ParameterCheck, to_number, values_match

OBSERVER_FILE = Path(__file__).with_name("observer.py")
OBSERVER_VARIABLE = "TRYTABLE_OBSERVE"
MAX_LINE_BYTES = 1 << 20

_PYTHON = re.compile(r"python(\d+(\.\d+)*)?")
_FLAGS = re.compile(r"-[BbdEIOPqsSuv]+")
_OPTIONS_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")


def observed_command(words: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Return the command with the observer in front of its script, and an empty string.

    If that is impossible, return the command as it is, and why.
    """
    if not _PYTHON.fullmatch(Path(words[0]).name):
        return words, f"the command starts {Path(words[0]).name}, not a Python script"
    index = 1
    while index < len(words) and words[index].startswith("-") and words[index] != "-m":
        if words[index] in _OPTIONS_WITH_VALUE:
            index += 1
        elif not (_FLAGS.fullmatch(words[index]) or words[index].startswith(("-W", "-X"))):
            return words, f"the command's {words[index]} does not run a script's file"
        index += 1
    if index >= len(words) or words[index:] == ("-m",):
        return words, "the command names no script"
    return (*words[:index], str(OBSERVER_FILE), *words[index:]), ""


class Observation:
    """Takes the observer's reports and sends them as events.

    Args:
        job: the attempt.
        line: where steps are sent.
        check: takes the effective values and reports findings.
        unobserved_reason: why nothing is observed, if that is known beforehand.
    """

    def __init__(
        self, job: Job, line: Line, check: ParameterCheck, unobserved_reason: str = ""
    ) -> None:
        self._job = job
        self._line = line
        self._check = check
        self._unobserved_reason = unobserved_reason
        self._buffer = b""
        self._group = 0
        self._unobserved: list[str] = []
        self._not_applied: dict[str, tuple[str, Scalar]] = {}
        self._torch_version = ""
        self._has_steps = False
        self._last_step = 0

    @property
    def has_steps(self) -> bool:
        """Whether optimizer steps are observed."""
        return self._has_steps

    def feed(self, chunk: bytes) -> None:
        """Take in the next bytes. Lines that are not the observer's are skipped."""
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        self._buffer = self._buffer[:MAX_LINE_BYTES]
        for line in lines:
            try:
                report = json.loads(line)
            except ValueError:
                continue
            if isinstance(report, dict):
                self._take(report)

    def finish(self) -> None:
        """Report what could not be observed: it may be right or wrong."""
        reason = self._unobserved_reason or self._reason_for_nothing()
        unobserved = [f"nothing was observed: {reason}"] if reason else self._unobserved
        if unobserved:
            self._check.report("not_observed", "info", "; ".join(unobserved))

    def _take(self, report: dict[str, Any]) -> None:
        match report:
            case {"torch": str(version)}:
                self._torch_version = version
            case {"first": dict(first)}:
                self._take_first_step(first)
            case {"step": dict(step)}:
                self._take_step(step)
            case {"end": dict(end)}:
                self._take_end(end)
            case _:
                pass

    def _take_first_step(self, first: dict[str, Any]) -> None:
        self._has_steps = True
        groups = first["groups"]
        self._group = self._group_to_follow(groups)
        effective: dict[str, Scalar] = {"optimizer": first["optimizer"]}
        effective |= self._check_groups(groups) | _scheduler_values(first.get("scheduler"))
        effective |= self._roles()
        if first.get("batch_size") is None:
            self._unobserved.append("the batch size (no data loader of torch)")
        effective |= self._check_batch_size(first)
        if "model" in first:
            effective |= self._check_model(first)
        else:
            self._unobserved.append("the model (no module holds the optimized parameters)")
        sizes = {
            name: first[key]
            for name, key in (("parameters", "parameters"), ("trainable_parameters", "trainable"))
            if key in first
        }
        steps = {"steps_per_epoch": first["batches"]} if first.get("batches") else {}
        self._check.add(effective, **sizes, **steps)
        self._report_not_applied()

    def _group_to_follow(self, groups: Sequence[Mapping[str, Any]]) -> int:
        """Return the parameter group with the requested learning rate, else the largest one."""
        name = self._check.parameter_for("lr")
        for index, group in enumerate(groups):
            if name is not None and values_match(self._check.requested[name], group["lr"]):
                return index
        return max(range(len(groups)), key=lambda index: groups[index]["parameters"])

    def _check_groups(self, groups: Sequence[Mapping[str, Any]]) -> dict[str, Scalar]:
        summary = "; ".join(
            f"lr {_short(g['lr'])}, weight decay {_short(g['weight_decay'])}, "
            f"{g['parameters']} parameters"
            for g in groups
        )
        effective: dict[str, Scalar] = {"parameter groups": summary}
        lr = self._check.parameter_for("lr")
        if lr is not None:
            effective[lr] = groups[self._group]["lr"]
        decay = self._check.parameter_for("weight_decay")
        if decay is not None:
            requested = self._check.requested[decay]
            values = [g["weight_decay"] for g in groups if g["weight_decay"] is not None]
            is_applied = any(values_match(requested, value) for value in values)
            effective[decay] = requested if is_applied else max(values, default=None)
            if not values:
                self._unobserved.append("weight decay (the optimizer has none of torch's kind)")
            elif not is_applied:
                self._not_applied[decay] = (f"the optimizer has {_join(values)}", max(values))
        return effective

    def _check_batch_size(self, first: Mapping[str, Any]) -> dict[str, Scalar]:
        size, name = first.get("batch_size"), self._check.parameter_for("batch_size")
        if size is None:
            return {}
        if name is None:
            return {"batch size": size}
        if not values_match(self._check.requested[name], size):
            self._not_applied[name] = (f"the data loader makes batches of {size}", size)
        return {name: size}

    def _check_model(self, first: Mapping[str, Any]) -> dict[str, Scalar]:
        dropouts = {float(p): count for p, count in first["dropouts"].items()}
        summary = ", ".join(f"{_short(p)} in {count}" for p, count in sorted(dropouts.items()))
        effective: dict[str, Scalar] = {
            "model": first["model"],
            "dropout modules": summary or "none",
        }
        parameters = self._check.dropouts()
        for name in parameters:
            requested = self._check.requested[name]
            if any(values_match(requested, p) for p in dropouts):
                effective[name] = requested
            elif dropouts:
                actual = f"the model's dropouts have {_join(sorted(dropouts))}"
                effective[name] = max(dropouts)
                self._not_applied[name] = (actual, max(dropouts))
        if parameters and not dropouts:
            self._unobserved.append(
                "dropout (the model has no dropout module; F.dropout leaves no trace)"
            )
        if first["in_no_group"]:
            names = ", ".join(first["in_no_group_names"])
            self._check.report(
                "parameters_in_no_group",
                "warning",
                f"{first['in_no_group']} trainable tensors are in no group of the optimizer, so "
                f"they never change: {names}",
                count=first["in_no_group"],
                names=names,
            )
        return effective

    def _roles(self) -> dict[str, Scalar]:
        """Return which parameters count as which knob, for the diagnosis of the steps later."""
        names = {role: self._check.parameter_for(role) for role in ("lr", "epochs", "schedule")}
        return {f"taken as {role}": name for role, name in names.items() if name is not None}

    def _report_not_applied(self) -> None:
        """Report one finding for all requested values that did not arrive."""
        requested, evidence = self._check.requested, dict[str, Scalar]()
        texts = []
        for name, (actual, effective) in self._not_applied.items():
            texts.append(f"{name}: {_short(requested[name])} requested, but {actual}")
            evidence |= {f"{name}.requested": requested[name], f"{name}.effective": effective}
        if texts:
            self._check.report("not_applied", "error", "; ".join(texts), **evidence)

    def _take_step(self, step: Mapping[str, Any]) -> None:
        rates = step["lr"]
        self._last_step = step["step"]
        self._line.send(
            Step(
                attempt=self._job.attempt,
                step=step["step"],
                epoch=step.get("epoch") or 1,
                lr=rates[self._group] if self._group < len(rates) else None,
                gradient_norm=step.get("gradient_norm"),
            )
        )

    def _take_end(self, end: Mapping[str, Any]) -> None:
        peak, last = end.get("peak"), end.get("last")
        if last is not None and last["step"] != self._last_step:
            self._take_step(last)
        if peak is not None:
            self._take_step(peak)  # the step with the highest rate, if it was not a reported one
        if end.get("decay_changed_at"):
            step = end["decay_changed_at"]
            text = f"the weight decay was changed by step {step}"
            self._check.report("weight_decay_changed", "info", text, step=step)
        if end.get("other_optimizers"):
            self._unobserved.append(f"{end['other_optimizers']} more optimizers than the first one")

    def _reason_for_nothing(self) -> str:
        if self._has_steps:
            return ""
        if not self._torch_version:
            return "the script never imported torch"
        return (
            "no step of a torch.optim.Optimizer was taken in the script's own process"
            f" (torch {self._torch_version})"
        )


def _scheduler_values(scheduler: Mapping[str, Any] | None) -> dict[str, Scalar]:
    if scheduler is None:
        return {"scheduler": "none of torch's kind"}
    numbers = {f"scheduler {name}": value for name, value in scheduler.items() if name != "name"}
    return {"scheduler": scheduler["name"], **numbers}


def _join(values: Sequence[float]) -> str:
    return ", ".join(dict.fromkeys(_short(value) for value in values))


def _short(value: Any) -> str:
    number = to_number(value)
    return str(value) if number is None else f"{number:.6g}"
