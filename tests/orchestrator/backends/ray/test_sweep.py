"""Whole sweeps on Ray: a node is lost, the person stops, the orchestrator is killed."""

import json
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from optuna.trial import TrialState

from tests.orchestrator.backends.ray.raylets import Raylets, raylets
from tests.orchestrator.running import (
    GRID,
    family,
    interrupt,
    run,
    said,
    start,
    states,
    trials,
    url,
    values_of,
    wait_all_gone,
    wait_for,
    write_sweep,
)
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study.integrity import check_studies
from trytable.results.storage.reader import read_study
from trytable.trainers.protocol.messages import Started

AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
POINTS = [0.1, 0.2, 0.3, 0.5, 0.7, 0.9]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a sweep in it, under a name that shells and URLs dislike."""
    odd = tmp_path / 'it\'s {a} "sweep" 100% #1?\nhere'
    write_sweep(odd)
    return odd


@pytest.fixture(scope="module")
def cluster() -> Iterator[Raylets]:
    """Three nodes of one core each."""
    with raylets(1, 1, 1) as found:
        yield found


@pytest.fixture
def nodes(cluster: Raylets, monkeypatch: pytest.MonkeyPatch) -> Raylets:
    """The cluster, which every process that a test starts will join."""
    return joined(cluster, monkeypatch)


def joined(cluster: Raylets, monkeypatch: pytest.MonkeyPatch) -> Raylets:
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    return cluster


def started(folder: Path) -> dict[int, Started]:
    """What every trial's last attempt said at its start, by the trial's number."""
    events: dict[int, Started] = {}
    for log in (folder / "runs" / "quality" / "trials").glob("*/events.jsonl"):
        said = [line for line in log.read_text().splitlines() if '"event":"started"' in line]
        events |= {int(log.parent.name): Started.model_validate_json(line) for line in said}
    return events


def check_nothing_lost_or_doubled(folder: Path) -> None:
    """Every point was completed once, and all books agree."""
    found = trials(folder)
    assert len(found) == len(POINTS)
    assert values_of(found, TrialState.COMPLETE) == POINTS
    for trial in found:
        assert sorted(trial.intermediate_values) == [1, 2, 3, 4]
    (checked,) = check_studies(Folders(folder / "runs", "quality"))
    assert checked.problems == ()


def test_code_comes_with_the_sweep_and_goes_with_a_killed_orchestrator(
    folder: Path, nodes: Raylets
) -> None:
    sweep = start(folder, ENGINE="ray", SLOTS="2", SET="epoch_seconds=60")
    wait_for(sweep, lambda: len(started(folder)) == 2)
    workers = [psutil.Process(one.pid) for one in started(folder).values()]
    for worker in workers:
        assert "/working_dir_files/" in worker.environ()["PYTHONPATH"]
    sweep.kill()
    sweep.communicate()
    wait_all_gone(workers)


def test_trials_of_a_lost_node_are_tried_again_on_another(folder: Path, nodes: Raylets) -> None:
    sweep = start(folder, ENGINE="ray", SET="epoch_seconds=0.5")
    wait_for(sweep, lambda: said(folder, "epoch") >= 3)
    first = started(folder)[0].pid
    lost = nodes.node_of(first)
    nodes.lose(lost)
    printed, _ = sweep.communicate(timeout=240)
    assert sweep.returncode == 0, printed
    check_nothing_lost_or_doubled(folder)
    study = read_study(url(folder), "quality")
    retried = [one for one in study.trials if len(one.attempts) > 1]
    assert [one.number for one in retried] == [0]
    assert (
        retried[0]
        .attempts[0]
        .message.startswith("worker exited without reporting a result (its node (")
    )
    assert "(raylet)" not in printed


def test_a_terminal_that_closes_drains_and_the_next_run_goes_on(folder: Path) -> None:
    sweep = start(folder, ENGINE="ray")
    wait_for(sweep, lambda: said(folder, "epoch") >= 2)
    processes = family(sweep)
    os.killpg(sweep.pid, signal.SIGHUP)
    printed, _ = sweep.communicate(timeout=240)
    assert sweep.returncode == 130, printed
    assert "The same command resumes them" in printed
    wait_all_gone(processes)
    assert said(folder, "checkpoint") == 2
    code, printed = run(folder, ENGINE="ray")
    assert code == 0, printed
    check_nothing_lost_or_doubled(folder)
    assert said(folder, "epoch") == 4 * len(POINTS)


def test_a_second_interrupt_stops_now(folder: Path) -> None:
    write_sweep(folder, GRID.replace("0.15", "0.15, crash: hang, crash_at_epoch: 2"))
    sweep = start(folder, ENGINE="ray")
    wait_for(sweep, lambda: said(folder, "epoch") == 2)
    processes = family(sweep)
    interrupt(sweep, signal.SIGTERM)
    wait_all_gone(processes)
    assert states(folder) == ["RUNNING", "RUNNING"]


def test_a_local_cluster_is_on_the_loopback_and_goes_with_a_killed_orchestrator(
    folder: Path,
) -> None:
    sweep = start(folder, ENGINE="ray")
    wait_for(sweep, lambda: said(folder, "epoch") >= 3)
    processes = family(sweep)
    agents = [one for one in processes if one.name() in AGENTS]
    listening = {
        one.laddr.ip.removeprefix("::ffff:")
        for process in [psutil.Process(sweep.pid), *processes]
        for one in process.net_connections()
        if one.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    sweep.kill()
    sweep.communicate()
    # Ray's two agents try for a minute to report their raylet's end, and listen to nobody.
    wait_all_gone([one for one in processes if one not in agents])
    code, printed = run(folder)  # the local engine goes on where Ray was
    assert code == 0, printed
    check_nothing_lost_or_doubled(folder)


def test_a_node_that_shares_nothing_is_sent_all_and_sends_all_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half the trials run where the runs' folder is another one, and are saved there."""
    (folder / "runs").mkdir()
    with raylets(1) as nodes, nodes.stranger(folder / "runs") as stranger:
        joined(nodes, monkeypatch)
        sweep = start(folder, ENGINE="ray", SLOTS="2", SET="epoch_seconds=0.4")
        wait_for(sweep, lambda: said(folder, "epoch") >= 3)
        pids = [one.pid for one in started(folder).values()]
        assert sum(is_below(pid, stranger) for pid in pids) == 1
        os.killpg(sweep.pid, signal.SIGINT)
        printed, _ = sweep.communicate(timeout=240)
        assert sweep.returncode == 130, printed
        home = folder / "runs" / "quality" / "trials"
        assert len(list(home.glob("*/checkpoints/epoch.txt"))) == 2
        assert len(list(home.glob("*/worker.log"))) == 2
        code, printed = run(folder, ENGINE="ray", SLOTS="2", SET="epoch_seconds=0.4")
        assert code == 0, printed
        scratch = Path(tempfile.gettempdir()) / f"trytable-{os.getuid()}"
        assert list(scratch.iterdir()) == []
    check_nothing_lost_or_doubled(folder)
    assert said(folder, "epoch") == 4 * len(POINTS)


def is_below(pid: int, ancestor: int) -> bool:
    return ancestor in {one.pid for one in psutil.Process(pid).parents()}


SCRIPT = """
trainer: script
command: ["{python}", -c, "print('dev acc: 0.5')", "{params}"]
objective: {name: dev_acc, direction: maximize}
baseline: {lr: 0.1}
parameters: {lr: [0.1, 0.2]}
"""


def test_a_script_is_refused_where_nodes_do_not_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sweep(tmp_path, SCRIPT)
    (tmp_path / "runs").mkdir()
    with raylets() as nodes, nodes.stranger(tmp_path / "runs"):
        joined(nodes, monkeypatch)
        code, printed = run(tmp_path, ENGINE="ray")
    assert code == 2, printed
    assert "does not share the folder of the runs" in printed


LOSSY = {
    "CoreWorkerService.grpc_client.PushTask": {
        "num_failures": -1,
        "req_failure_prob": 15,
        "resp_failure_prob": 15,
    }
}
"""Ray's own fault injection: so many of a hundred calls, and of their answers, get lost."""


def test_every_word_comes_once_over_a_line_that_loses_calls_and_answers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_testing_rpc_failure", json.dumps(LOSSY))
    code, printed = run(folder, ENGINE="ray")
    assert code == 0, printed
    check_nothing_lost_or_doubled(folder)
    study = read_study(url(folder), "quality")
    assert [len(one.attempts) for one in study.trials] == [1] * len(POINTS)
    assert said(folder, "epoch") == 4 * len(POINTS)
    assert [len(one.curve) for one in study.trials] == [4] * len(POINTS)
