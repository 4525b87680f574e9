"""The facts that a log starts with: versions, machine, command line."""

import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psutil

import trytable
from trytable.orchestrator.backends.base import Slot
from trytable.orchestrator.backends.slots import gpu_names
from trytable.orchestrator.log.lines import redact_argument

PACKAGES = ("torch", "transformers", "optuna", "sqlalchemy", "pydantic", "pandas", "numpy", "ray")
"""The packages whose versions are logged, as far as they are installed."""

_VARIABLES = "TRYTABLE_"
_LOGGER = logging.getLogger(__name__)


def log_start(title: str, slots: Sequence[Slot], facts: Mapping[str, object]) -> None:
    """Log what starts, on what, and how it was called."""
    places = ", ".join(f"{s.name} on {s.device} with {s.threads} threads" for s in slots)
    _LOGGER.info("%s started", title)
    _LOGGER.info("Versions: %s", ", ".join(_versions()))
    _LOGGER.info("Machine: %s", _machine())
    _LOGGER.info("GPUs: %s", ", ".join(gpu_names()) or "none")
    _LOGGER.info("Slots: %s", places or "none")
    _LOGGER.info("Command: %s", command_line(sys.argv, os.environ))
    for name, value in facts.items():
        _LOGGER.info("%s: %s", name, value)


def command_line(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return the command with its Make variables, without the passwords in them."""
    variables = [
        f"{name}={shlex.quote(redact_argument(value))}"
        for name, value in sorted(environment.items())
        if name.startswith(_VARIABLES) and value
    ]
    return " ".join([*variables, *(shlex.quote(redact_argument(word)) for word in arguments)])


def sweep_hash(sweep: Mapping[str, Any]) -> str:
    """Return a hash of a sweep's settings: equal settings have equal hashes."""
    document = json.dumps(sweep, sort_keys=True, default=str)
    return hashlib.sha256(document.encode()).hexdigest()[:16]


def _versions() -> Iterator[str]:
    yield f"trytable {trytable.__version__}"
    yield f"Python {platform.python_version()}"
    for package in PACKAGES:
        try:
            yield f"{package} {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            continue


def _machine() -> str:
    cores, usable = os.cpu_count(), len(os.sched_getaffinity(0))
    gibibytes = psutil.virtual_memory().total / 2**30
    return (
        f"{platform.node()}, {platform.platform()}, {cores} CPU cores of which {usable} are "
        f"usable, {gibibytes:.1f} GiB of memory"
    )
