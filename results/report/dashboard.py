"""Opens optuna-dashboard on a study database: on loopback only, read-only unless told otherwise.

OSError
 +-- PortTaken   another program listens on the port
"""

import errno
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from trytable.results.storage.engine import existing_storage, open_read_only, read_only_storage

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
_HTTP = 80


class PortTaken(OSError):
    """Another program listens on the port; the message names it."""

    def __init__(self, port: int) -> None:
        super().__init__(
            errno.EADDRINUSE,
            f"Port {port} on {HOST} is in use by another program. Choose another one.",
        )

    def __str__(self) -> str:
        return str(self.strerror)


def make_app(url: str, port: int, writable: bool = False) -> "WSGIApplication":
    """The dashboard as a WSGI application that answers only requests meant for `port` here.

    Read-only means: the database is opened for reading only, and any request but GET and HEAD is
    refused (405). Writable or not, a foreign Host or Origin header is refused (403), so that no
    web page can reach the study through the person's browser. Raises DatabaseUnreadable.
    """
    if writable:
        with open_read_only(url):
            pass  # Only to see that it is there: a missing database is never made.
        storage = existing_storage(url)
    else:
        storage = read_only_storage(url)
    import optuna_dashboard  # noqa: PLC0415  it takes seconds; naming PortTaken should not

    app: WSGIApplication = optuna_dashboard.wsgi(storage)
    names = (HOST, "localhost", "[::1]")
    # A browser leaves out the port that HTTP has by default.
    hosts = frozenset((*(f"{name}:{port}" for name in names), *(names if port == _HTTP else ())))
    return _guarded(app, hosts, writable)


def open_server(url: str, port: int, writable: bool = False) -> WSGIServer:
    """A server that already listens on 127.0.0.1; 0 lets the system choose the port.

    Raises PortTaken, other OSErrors, and DatabaseUnreadable. The caller closes it.
    """
    try:
        server = _Server((HOST, port), _QuietHandler)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(port) from error
        raise
    try:
        server.set_app(make_app(url, server.server_port, writable))
    except BaseException:
        server.server_close()
        raise
    return server


def serve(
    url: str,
    port: int,
    writable: bool = False,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until interrupted; `ready` is told the address once. Raises as open_server does."""
    with open_server(url, port, writable) as server:
        ready(f"http://{HOST}:{server.server_port}/")
        server.serve_forever(poll_interval=0.1)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
        """Say nothing: the terminal belongs to the person."""


def _guarded(app: "WSGIApplication", hosts: frozenset[str], writable: bool) -> "WSGIApplication":
    origins = frozenset(f"http://{host}" for host in hosts)

    def guarded(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        if environ.get("HTTP_HOST") not in hosts:
            return _refuse(start, "403 Forbidden", "This address is not the dashboard's own.")
        if environ.get("HTTP_ORIGIN", next(iter(origins))) not in origins:
            return _refuse(start, "403 Forbidden", "Another site may not ask the dashboard.")
        if not writable and environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _refuse(start, "405 Method Not Allowed", "The dashboard is read-only.")
        return app(environ, start)

    return guarded


def _refuse(start: "StartResponse", status: str, message: str) -> Iterable[bytes]:
    headers = [("Content-Type", "text/plain; charset=utf-8")]
    if status.startswith("405"):
        headers.append(("Allow", "GET, HEAD"))
    start(status, headers)
    return [f"{message}\n".encode()]
