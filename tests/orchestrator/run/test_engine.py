"""Engines that cannot be had are refused in words."""

import sys
from pathlib import Path

import pytest
from rich.console import Console

from tests.orchestrator.running import run, write_sweep
from trytable.orchestrator.backends.ray.kind import check_url
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.run.engine import EngineOptions, open_engine


def refused(options: EngineOptions) -> str:
    with pytest.raises(UserError) as refusal, open_engine(options, Console()):
        pass
    return str(refusal.value)


def test_an_engine_that_is_none() -> None:
    message = refused(EngineOptions("spark"))
    assert message == "ENGINE='spark' is not an engine. Allowed: local, ray."


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    for name in [one for one in sys.modules if one.partition(".")[0] == "ray"]:
        monkeypatch.delitem(sys.modules, name)
    assert refused(EngineOptions("ray")).endswith("make ray")


def test_a_clients_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://10.0.0.1:10001")
    assert "RAY_ADDRESS=auto" in refused(EngineOptions("ray"))


def test_a_cluster_without_a_token_is_refused_and_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sweep(tmp_path)
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setenv("HOME", str(tmp_path))
    code, printed = run(tmp_path, ENGINE="ray")
    assert code == 2
    assert "ray get-auth-token --generate" in printed
    assert str(tmp_path / ".ray" / "auth_token") in printed


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1", "[::1]:99999", "nowhere"])
def test_a_cluster_that_is_not_there(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    told = refused(EngineOptions("ray"))
    assert told.startswith(f"RAY_ADDRESS={address}: no Ray cluster answers there (")


def test_no_cluster_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sweep(tmp_path)
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    code, printed = run(tmp_path, ENGINE="ray")
    assert code == 2
    assert "RAY_AUTH_MODE=disabled: anyone who can reach a port" in printed
    assert "trytable: Ray cannot be used: " in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("url", ["nosuch://place/x", "file:///proc/x"])
def test_a_place_for_checkpoints_that_cannot_be_written(url: str) -> None:
    with pytest.raises(UserError, match=f"CHECKPOINTS={url} cannot be used"):
        check_url(url)


def test_a_place_for_checkpoints_is_left_empty_by_its_test(tmp_path: Path) -> None:
    check_url(f"file://{tmp_path}/place")
    assert list((tmp_path / "place").iterdir()) == []
