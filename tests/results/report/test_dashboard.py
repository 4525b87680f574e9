"""The dashboard: who is refused, that nothing is written, and what a real browser sees."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna_dashboard
import pytest
import sqlalchemy as sa
from optuna.exceptions import StorageInternalError

from tests.results.browser import Browser
from tests.results.studies import Maker, url_of
from trytable.results.report.dashboard import PortTaken, make_app, open_server, serve
from trytable.results.storage.engine import DatabaseUnreadable, read_only_storage

Answer = tuple[int, dict[str, str], bytes]


def test_the_browser_sees_the_study_and_its_trials(full: Maker, browser: Browser) -> None:
    optuna_dashboard.save_note(full.study, "### Try table of dropout")
    with _serving(full.url) as port:
        browser.open(f"http://127.0.0.1:{port}/")
        browser.wait_for("document.body.innerText.includes('1. dropout')")
        browser.open(f"http://127.0.0.1:{port}/dashboard/studies/1/trials")
        browser.wait_for("document.body.innerText.includes('8 Trials')")
        text = browser.run("document.body.innerText")
        for number in range(8):
            assert f"Trial {number}" in text
        for state in ("Complete", "Pruned", "Fail", "Running"):
            assert state in text
        foreign = [url for url in browser.requests if f"//127.0.0.1:{port}/" not in url]
        assert [url for url in foreign if not url.startswith(("data:", "blob:"))] == []


def test_the_database_stays_as_it_is(full: Maker) -> None:
    path = Path(sa.make_url(full.url).database or "")
    before = (path.read_bytes(), sorted(path.parent.iterdir()))
    with _serving(full.url) as port:
        assert _ask(port, "GET", "/api/studies")[0] == 200
        assert _ask(port, "GET", "/api/studies/1")[0] == 200
        assert _ask(port, "DELETE", "/api/studies/1")[0] == 405
    assert (path.read_bytes(), sorted(path.parent.iterdir())) == before


def test_the_database_itself_is_locked_too(full: Maker) -> None:
    """The refused methods are one lock; a write that came past them meets another."""
    storage = read_only_storage(full.url)
    with pytest.raises(StorageInternalError) as raised:
        storage.set_study_user_attr(1, "x", 1)
    assert "readonly" in str(raised.value.__cause__)
    with pytest.raises(StorageInternalError):
        storage.delete_study(1)


def test_read_only_refuses_every_other_method(full: Maker) -> None:
    with _serving(full.url) as port:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            status, headers, body = _ask(port, method, "/api/studies")
            assert status == 405, method
            assert headers["Allow"] == "GET, HEAD"
            assert body == b"The dashboard is read-only.\n"


@pytest.mark.parametrize("writable", [False, True])
def test_a_foreign_host_is_refused(full: Maker, writable: bool) -> None:
    with _serving(full.url, writable) as port:
        evil = ("evil.invalid", f"evil.invalid:{port}", f"0.0.0.0:{port}", f"127.0.0.1:{port}.x")
        for host in (*evil, "127.0.0.1", "127.0.0.1:1", ""):
            assert _ask(port, "GET", "/api/studies", {"Host": host})[0] == 403, host


def test_our_own_names_are_answered(full: Maker) -> None:
    with _serving(full.url) as port:
        assert _ask(port, "HEAD", "/dashboard")[0] == 200
        for host in ("127.0.0.1", "localhost", "[::1]"):
            status, _, body = _ask(port, "GET", "/api/studies", {"Host": f"{host}:{port}"})
            assert status == 200, host
            studies = json.loads(body)["study_summaries"]
            assert [study["study_name"] for study in studies] == ["dropout"]


def test_another_sites_page_cannot_write(full: Maker) -> None:
    with _serving(full.url, writable=True) as port:
        asked = {"Origin": "http://evil.invalid"}
        assert _ask(port, "DELETE", "/api/studies/1", asked)[0] == 403
        own = {"Origin": f"http://127.0.0.1:{port}"}
        assert _ask(port, "GET", "/api/studies", own)[0] == 200


def test_writable_writes(full: Maker) -> None:
    with _serving(full.url, writable=True) as port:
        note = json.dumps({"body": "mine", "version": 1})
        headers = {"Content-Type": "application/json"}
        assert _ask(port, "PUT", "/api/studies/1/note", headers, note)[0] == 204
    assert optuna_dashboard.get_note(full.study) == "mine"


@pytest.mark.parametrize("writable", [False, True])
def test_a_missing_database_is_not_made(folder: Path, writable: bool) -> None:
    with pytest.raises(DatabaseUnreadable):
        make_app(url_of(folder / "studies.db"), 8080, writable)
    assert list(folder.iterdir()) == []


def test_a_port_in_use(full: Maker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=f"^Port {port} on 127.0.0.1 is in use"):
            serve(full.url, port)


def test_serve_tells_its_address_and_ends_on_an_interrupt(full: Maker) -> None:
    told: list[str] = []

    def interrupt(address: str) -> None:
        told.append(address)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        serve(full.url, 0, ready=interrupt)
    port = int(told[0].rsplit(":", 1)[1].strip("/"))
    socket.create_server(("127.0.0.1", port)).close()


@contextmanager
def _serving(url: str, writable: bool = False) -> Iterator[int]:
    with open_server(url, 0, writable) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def _ask(
    port: int, method: str, path: str, headers: dict[str, str] | None = None, body: str = ""
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request(method, path, body or None, headers or {})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()
