"""Samplers and pruners of other packages, from the sweep file to the study."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.orchestrator.running import FRESH, TOP, run, trials, write_sweep
from tests.plugin_packages import install_package
from trytable.orchestrator.errors import PluginError
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study.sampling.kinds import KINDS, create_pruner, create_sampler
from trytable.orchestrator.study.sampling.samplers import SAMPLERS
from trytable.results.storage.reader import read_study
from trytable.sweeps.config.loader import Sweep, SweepError, read_sweep

SWEEP = """
trainer: scripted
baseline: {value: 0.5, epochs: 2, epoch_seconds: 0}
parameters: {value: {low: 0.1, high: 0.9}}
trials: 4
"""
PACKAGE = """
from dataclasses import dataclass
from typing import Annotated

from optuna.pruners import NopPruner
from optuna.samplers import BaseSampler, RandomSampler
from pydantic import BaseModel, Field, model_validator

from trytable.plugins import PrunerKind, SamplerKind


@dataclass(frozen=True)
class EdgeOptions:
    side: str = "low"
    margin: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    weights: tuple[float, ...] = (1.0, 2.0)

    def __post_init__(self):
        if self.side not in ("low", "high"):
            raise ValueError("side is low or high")


class EdgeSampler(RandomSampler):
    def __init__(self, options, seed):
        super().__init__(seed)
        self.options = options

    def sample_independent(self, study, trial, name, distribution):
        if self.options.side == "high":
            return distribution.high - self.options.margin
        return distribution.low + self.options.margin


class PairOptions(BaseModel):
    low: int = Field(1, ge=1)
    high: int = 2

    @model_validator(mode="after")
    def in_order(self):
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class Broken(RandomSampler):
    def sample_independent(self, *args):
        raise LookupError("no such corner")


@dataclass
class NameOptions:
    name: str = ""


EDGE = SamplerKind(EdgeSampler, EdgeOptions)
PAIRS = PrunerKind(lambda options, epochs: NopPruner(), PairOptions)
BROKEN = SamplerKind(lambda options, seed: Broken(seed))
NO_SAMPLER = SamplerKind(lambda options, seed: "a text")
NO_OPTIONS = SamplerKind(EdgeSampler, "EdgeOptions")
NAMED = SamplerKind(EdgeSampler, NameOptions)
ONE_ARGUMENT = SamplerKind(lambda options: RandomSampler())
"""
NAMES = {
    "edge": "EDGE",
    "broken": "BROKEN",
    "no-sampler": "NO_SAMPLER",
    "no-options": "NO_OPTIONS",
    "named": "NAMED",
    "one-argument": "ONE_ARGUMENT",
    "absent": "ABSENT",
    "tpe": "EDGE",
}


def install(site: Path) -> None:
    samplers = {name: f"edge_samplers:{value}" for name, value in NAMES.items()}
    install_package(
        site,
        "edge-samplers",
        {"edge_samplers.py": PACKAGE},
        {"trytable.samplers": samplers, "trytable.pruners": {"pairs": "edge_samplers:PAIRS"}},
        version="0.3",
    )


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    install(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def with_site(site: Path) -> tuple[str, ...]:
    """The command line in a process that has the packages of a folder."""
    return ("env", f"PYTHONPATH={site}{os.pathsep}{TOP}", *FRESH, "sweep")


def read(site: Path, text: str) -> Sweep:
    path = site / "toy.yaml"
    path.write_text(SWEEP + text)
    return read_sweep(path, KINDS)


def refused(site: Path, text: str) -> str:
    with pytest.raises(SweepError) as refusal:
        read(site, text)
    return str(refusal.value)


def test_options_have_their_types_and_defaults(site: Path) -> None:
    sweep = read(site, "sampler: {name: edge, margin: 0.25}\npruner: {name: pairs, high: 5}\n")
    stored = json.loads(json.dumps(sweep.to_json()))
    assert stored["sampler"] == {"name": "edge", "side": "low", "margin": 0.25, "weights": [1, 2]}
    assert stored["pruner"] == {"name": "pairs", "low": 1, "high": 5}
    assert Sweep.model_validate_json(json.dumps(stored)).sampler == sweep.sampler
    sampler: Any = create_sampler(sweep, 0)
    assert (sampler.options.margin, sampler.options.weights) == (0.25, (1.0, 2.0))
    assert type(create_pruner(sweep, 2)).__name__ == "NopPruner"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "sampler: edgy",
            "sampler.name: 'edgy' is not allowed. Did you mean edge? Allowed: grid, random, tpe, "
            "gp, qmc, absent, broken, edge, named, no-options, no-sampler, one-argument.",
        ),
        (
            "sampler: {name: edge, margin: 2}",
            "sampler.margin: 2 is not allowed. Allowed: a number at least 0 and at most 0.5.",
        ),
        (
            "sampler: {name: edge, margins: 0.2}",
            "sampler.margins: 'margins' is not a valid key. Did you mean margin? Allowed: name, "
            "side, margin, weights.",
        ),
        ("sampler: {name: edge, side: left}", "sampler: Value error, side is low or high."),
        (
            "sampler: {name: edge, startup_trials: 3}",
            "sampler.startup_trials: edge has no such option; it belongs to gp. Allowed with edge: "
            "side, margin, weights.",
        ),
        ("pruner: {name: pairs, low: 3}", "pruner: Value error, low is above high."),
        (
            "pruner: {name: pairs, low: 0}",
            "pruner.low: 0 is not allowed. Allowed: a whole number ",
        ),
        (
            "sampler: tpe",
            "sampler.name: edge-samplers 0.3 registers a sampler 'tpe', but Trytable has one of "
            "this name. Rename the entry point or uninstall the package. Names that are taken: ",
        ),
        (
            "sampler: absent",
            "sampler.name: The sampler 'absent' of edge-samplers 0.3 cannot be loaded from "
            "edge_samplers:ABSENT: AttributeError: module 'edge_samplers' has no attribute",
        ),
        (
            "sampler: no-options",
            "sampler.name: The sampler 'no-options' of edge-samplers 0.3 cannot be used: its "
            "options 'EdgeOptions' are neither a dataclass nor a pydantic model.",
        ),
        (
            "sampler: named",
            "sampler.name: The sampler 'named' of edge-samplers 0.3 cannot be used: it has an "
            "option called 'name', which a sweep file needs.",
        ),
        (
            "sampler: one-argument",
            "sampler.name: The sampler 'one-argument' of edge-samplers 0.3 cannot be used: it is "
            "called as create(options, seed), but too many positional arguments.",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(site: Path, text: str, message: str) -> None:
    assert f": {message}" in refused(site, text)


def test_a_sampler_that_is_none(site: Path) -> None:
    with pytest.raises(PluginError) as refusal:
        create_sampler(read(site, "sampler: no-sampler"), 0)
    assert str(refusal.value) == (
        "The sampler 'no-sampler' of edge-samplers 0.3 failed: TypeError: create returns 'str', "
        "not Optuna's BaseSampler"
    )


def test_only_a_sampler_that_keeps_its_position_is_seeded_alike_in_every_run(site: Path) -> None:
    def draws(name: str, trials_so_far: int) -> object:
        sampler: Any = create_sampler(read(site, f"sampler: {name}"), trials_so_far)
        return sampler._seed if name == "qmc" else sampler._rng.rng.random()

    assert draws("qmc", 0) == draws("qmc", 7)
    assert draws("random", 0) == draws("random", 0) != draws("random", 7)
    assert {name for name, kind in SAMPLERS.built_in.items() if kind.keeps_position} == {"qmc"}


def test_a_sweep_with_a_plugin_from_start_to_the_day_it_is_gone(tmp_path: Path) -> None:
    """Run, resumed, refused without the package, and continued with another sampler."""
    site = tmp_path / "site"
    install(site)
    write_sweep(tmp_path, SWEEP + "sampler: {name: edge, side: high, margin: 0.1}\n", name="toy")
    code, printed = run(tmp_path, command=with_site(site), NAME="toy", TRIALS="2")
    assert code == 0, printed
    code, printed = run(tmp_path, command=with_site(site), NAME="toy")
    assert code == 0, printed
    assert [trial.params["value"] for trial in trials(tmp_path, "toy")] == [0.5, 0.8, 0.8, 0.8]
    facts = read_study(Folders(tmp_path / "runs", "toy").url, "toy").facts
    assert facts["pins"]["edge-samplers"] == "0.3"
    report = (tmp_path / "runs" / "toy" / "report.md").read_text()
    assert "Sampler: edge (side high, margin 0.1, weights 1, 2)" in report
    shutil.rmtree(site)
    code, printed = run(tmp_path, NAME="toy", TRIALS="6")
    assert code == 2
    assert "sampler.name: 'edge' is not allowed. Allowed: grid, random, tpe, gp, qmc." in printed
    assert (
        "The study 'toy' was made with the sampler 'edge' of edge-samplers 0.3, which is not "
        "installed. Install it, or name another sampler: the study goes on with any."
    ) in printed
    code, printed = run(tmp_path, NAME="toy", TRIALS="6", SET="sampler=random")
    assert code == 0, printed
    assert len(trials(tmp_path, "toy")) == 6


def test_a_sampler_that_fails_while_a_sweep_runs(tmp_path: Path) -> None:
    install(tmp_path / "site")
    write_sweep(tmp_path, SWEEP + "sampler: broken\n", name="toy")
    code, printed = run(tmp_path, command=with_site(tmp_path / "site"), NAME="toy")
    assert code == 2, printed
    message = "The sampler 'broken' of edge-samplers 0.3 failed: LookupError: no such corner"
    assert message in " ".join(printed.split())
    assert "Traceback" not in printed
