"""What the orchestrator tells the slots on a Ray cluster, and what they tell of their nodes."""

import importlib.metadata
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from trytable.orchestrator.backends.ray.transfer import FileSizes, file_sizes
from trytable.orchestrator.backends.slots import gpu_uuids

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors")
"""What decides a trial's numbers must be of one version on all nodes."""


def _token() -> str:
    return secrets.token_hex(8)


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in PACKAGES}


@dataclass(frozen=True)
class Plan:
    """What every slot of a sweep is told.

    Args:
        trainer, model: as the local backend's.
        log: the file beside the runs that takes what warm parents print.
        checkpoints: an fsspec URL for checkpoints of nodes that do not share the runs, or nothing.
        grace_seconds, silence_seconds: as the local backend's.

    Whoever reads `written` in the file `marker` shares the runs. `model_files` lists a model's
    folder, None where the model is no folder here. `session` names this run's scratch folders.
    """

    trainer: str
    model: str
    log: Path
    checkpoints: str = ""
    grace_seconds: float = 30.0
    silence_seconds: float = 1800.0
    cwd: Path = field(default_factory=Path.cwd)
    session: str = field(default_factory=_token)
    written: str = field(default_factory=_token)
    model_files: FileSizes | None = None
    packages: Mapping[str, str] = field(default_factory=dict)

    @property
    def marker(self) -> Path:
        """The file that tells whether a node shares the runs."""
        return self.log.with_name(f".seen-{self.session}")


def make_plan(trainer: str, model: str, log: Path, **others: str | float) -> Plan:
    """A plan for slots that are to be asked for from here; writes its marker. Raises OSError."""
    folder = Path(model).expanduser()
    plan = Plan(
        trainer,
        model,
        log,
        model_files=file_sizes(folder) if folder.is_dir() else None,
        packages=_versions() if trainer == "finetune" else {},
        **others,  # type: ignore[arg-type] # the three of one type or the other
    )
    log.parent.mkdir(parents=True, exist_ok=True)
    plan.marker.write_text(plan.written)
    return plan


@dataclass(frozen=True)
class NodeInfo:
    """Where Ray put a slot: the node's name, its GPU or `cpu`, and what it shares with us.

    `device` is empty where a GPU was to be there and is not. `differing` tells the packages of
    other versions than the orchestrator's.
    """

    host: str
    device: str
    shares_runs: bool
    shares_cwd: bool
    has_model: bool
    differing: str = ""


def inspect_node(plan: Plan, wants_gpu: bool) -> NodeInfo:
    """What is seen from the process that asks, for which Ray has chosen the GPU."""
    gpus = gpu_uuids() if wants_gpu else ["cpu"]
    return NodeInfo(
        host=socket.gethostname(),
        device=gpus[0] if gpus else "",
        shares_runs=_reads(plan.marker) == plan.written,
        shares_cwd=plan.cwd.is_dir(),
        has_model=plan.model_files is None or _listed(plan) == plan.model_files,
        differing=", ".join(_differing(plan.packages)),
    )


def node_problems(plan: Plan, place: NodeInfo) -> Iterator[str]:
    """Why a node cannot be used, in words that go on from its name."""
    if place.differing:
        yield f"has other packages than the machine that runs the sweep: {place.differing}."
    if not place.device:
        yield "has a GPU for Ray, but NVIDIA's driver finds none there."
    if plan.trainer == "script" and not (place.shares_runs and place.shares_cwd):
        yield (
            "does not share the folder of the runs or that of the script. A script needs both on "
            f"a file system that all nodes see: {plan.log.parent} and {plan.cwd}."
        )


def _reads(marker: Path) -> str:
    try:
        return marker.read_text()
    except OSError:
        return ""


def _listed(plan: Plan) -> FileSizes:
    """The model's folder as this node has it; it may be named from the orchestrator's folder."""
    with suppress(OSError, RuntimeError):  # RuntimeError: `~name` of nobody
        return file_sizes(plan.cwd / Path(plan.model).expanduser())
    return ()


def _differing(packages: Mapping[str, str]) -> Iterator[str]:
    """Packages whose versions differ; how they were built (`+cpu`) is the machine's business."""
    for name, wanted in packages.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "none"
        if found.partition("+")[0] != wanted.partition("+")[0]:
            yield f"{name} {found} instead of {wanted}"
