"""What the built-in trainer says of itself, besides its epochs."""

from collections.abc import Mapping
from typing import NoReturn

from trytable.records import Scalar, Severity
from trytable.trainers.finetune.step import NonFinite
from trytable.trainers.protocol.messages import Finding, Line


class FindingReporter:
    """Says findings over a worker's line."""

    def __init__(self, line: Line, attempt: int) -> None:
        self._line = line
        self._attempt = attempt

    def report_mismatch(self, differing: Mapping[str, tuple[Scalar, Scalar]], allowed: bool) -> str:
        """Parameters that were read back otherwise than asked for; returns them in words."""
        told = [f"{name}: {asked} asked, {got} found" for name, (asked, got) in differing.items()]
        evidence: dict[str, Scalar] = {}
        for name, (asked, got) in differing.items():
            evidence |= {f"{name}.requested": asked, f"{name}.effective": got}
        message = "; ".join(told)
        self._report("mismatch", "warning" if allowed else "error", message, evidence)
        return message

    def report_smaller_micro_batch(self, before: int, after: int, batch_size: int) -> None:
        """Memory ran out, and fewer sentences are in it at once from now on."""
        self._report(
            "oom_retry",
            "warning",
            f"out of memory: micro-batch {before} to {after}; a step still takes {batch_size}",
            {"micro_batch_before": before, "micro_batch": after},
        )

    def report_early_end(self, done: int, epochs: int, best_epoch: int) -> None:
        """The rest of the epochs is left out."""
        self._report(
            "patience",
            "info",
            f"ended after epoch {done} of {epochs}: none was better than epoch {best_epoch}",
            {"epochs": done, "best_epoch": best_epoch},
        )

    def report_uncached(self, why: str) -> None:
        """The frozen layers are computed in every epoch."""
        message = f"the frozen layers are computed in every epoch: {why}"
        self._report("frozen_cache", "info", message, {})

    def raise_non_finite(self, what: str, step: int) -> NoReturn:
        """A number is NaN or infinite. Raises NonFinite."""
        message = f"{what} at step {step}; a lower lr or fp32 may help"
        self._report("non_finite", "error", message, {"step": step})
        raise NonFinite(message)

    def _report(
        self, kind: str, severity: Severity, message: str, evidence: dict[str, Scalar]
    ) -> None:
        """Say a finding."""
        self._line.say(
            Finding(
                attempt=self._attempt,
                kind=kind,
                severity=severity,
                message=message,
                evidence=evidence,
            )
        )
