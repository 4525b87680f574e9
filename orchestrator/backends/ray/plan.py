"""What the orchestrator sends to the slots of a Ray cluster, and what they find on their nodes."""

import importlib.metadata
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from trytable.orchestrator.backends.ray.transfer import FileSizes, file_sizes

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors")
"""They decide a trial's numbers, so they must have the same version on all nodes."""


def _token() -> str:
    return secrets.token_hex(8)


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in PACKAGES}


@dataclass(frozen=True)
class Plan:
    """What every slot of a sweep needs to know.

    Args:
        trainer, model, grace_seconds, silence_seconds: as in LocalBackend.
        log: the file beside the runs for the output of fork servers.
        checkpoints: an fsspec URL for the checkpoints of nodes that do not share the runs, or "".
        cwd: the orchestrator's working folder.
        session: names this run's scratch folders.
        marker_text: the content of the file `marker`; a node that reads it shares the runs.
        model_files: the files of the model's folder; None if the model is no folder here.
        packages: the versions of PACKAGES that nodes must have.
    """

    trainer: str
    model: str
    log: Path
    checkpoints: str = ""
    grace_seconds: float = 30.0
    silence_seconds: float = 1800.0
    cwd: Path = field(default_factory=Path.cwd)
    session: str = field(default_factory=_token)
    marker_text: str = field(default_factory=_token)
    model_files: FileSizes | None = None
    packages: Mapping[str, str] = field(default_factory=dict)

    @property
    def marker(self) -> Path:
        """The file that shows whether a node shares the runs."""
        return self.log.with_name(f".seen-{self.session}")


def make_plan(trainer: str, model: str, log: Path, **options: str | float) -> Plan:
    """Return a plan for this process's sweep and write its marker. Raises OSError."""
    folder = Path(model).expanduser()
    plan = Plan(
        trainer,
        model,
        log,
        model_files=file_sizes(folder) if folder.is_dir() else None,
        packages=_versions() if trainer == "finetune" else {},
        **options,  # type: ignore[arg-type] # a str for `checkpoints`, a float for the seconds
    )
    log.parent.mkdir(parents=True, exist_ok=True)
    plan.marker.write_text(plan.marker_text)
    return plan


@dataclass(frozen=True)
class NodeInfo:
    """What a slot found on its node.

    Args:
        host: the node's name.
        device: the slot's GPU or `cpu`; empty if a GPU was expected and not found.
        shares_runs, shares_cwd: whether the node sees the runs and the working folder.
        has_model: whether the node can read the model.
        package_differences: the packages whose versions differ, in words.
    """

    host: str
    device: str
    shares_runs: bool
    shares_cwd: bool
    has_model: bool
    package_differences: str = ""


def inspect_node(plan: Plan, devices: Sequence[str]) -> NodeInfo:
    """Return what this process finds on its node; Ray has chosen its devices."""
    return NodeInfo(
        host=socket.gethostname(),
        device=devices[0] if devices else "",
        shares_runs=_read_marker(plan.marker) == plan.marker_text,
        shares_cwd=plan.cwd.is_dir(),
        has_model=plan.model_files is None or _model_files_here(plan) == plan.model_files,
        package_differences=", ".join(_package_differences(plan.packages)),
    )


def node_problems(plan: Plan, node: NodeInfo) -> Iterator[str]:
    """Why a node cannot be used: predicates that follow its name in a sentence."""
    if node.package_differences:
        yield (
            f"has other packages than the machine that runs the sweep: {node.package_differences}."
        )
    if not node.device:
        yield "has a GPU according to Ray, but NVIDIA's driver finds none there."
    if plan.trainer == "script" and not (node.shares_runs and node.shares_cwd):
        yield (
            "does not share the folder of the runs or the folder of the script. A script needs "
            f"both on a file system that all nodes see: {plan.log.parent} and {plan.cwd}."
        )


def _read_marker(marker: Path) -> str:
    try:
        return marker.read_text()
    except OSError:
        return ""


def _model_files_here(plan: Plan) -> FileSizes:
    """The model's files as this node sees them; the model may be relative to `plan.cwd`."""
    with suppress(OSError, RuntimeError):  # RuntimeError: `~name` of an unknown user
        return file_sizes(plan.cwd / Path(plan.model).expanduser())
    return ()


def _package_differences(packages: Mapping[str, str]) -> Iterator[str]:
    """Packages whose versions differ; their build (`+cpu`) may differ with the hardware."""
    for name, expected in packages.items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            version = "none"
        if version.partition("+")[0] != expected.partition("+")[0]:
            yield f"{name} {version} instead of {expected}"
