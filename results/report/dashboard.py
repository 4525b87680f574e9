"""Serves optuna-dashboard for a study database, on loopback only and read-only by default.

Refused
 +-- PortTaken   another program uses the port
"""

import errno
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from trytable.records import Refused
from trytable.results.storage.engine import existing_storage, open_read_only, read_only_storage

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
_HTTP = 80


class PortTaken(Refused, OSError):
    """Another program uses the port that the message names."""

    def __init__(self, port: int) -> None:
        super().__init__(
            errno.EADDRINUSE,
            f"Port {port} on {HOST} is in use by another program. Choose another port.",
        )

    def __str__(self) -> str:
        return str(self.strerror)


def make_app(url: str, port: int, writable: bool = False) -> "WSGIApplication":
    """Return the dashboard as a WSGI application for requests to `port` on this machine.

    Unless `writable`, the database is opened read-only and requests other than GET and HEAD get
    405. A foreign Host or Origin header always gets 403, so that no web page can reach the study
    through the user's browser. Raises DatabaseUnreadable.
    """
    if writable:
        with open_read_only(url):
            pass  # raises if there is no database, which must not be created here
        storage = existing_storage(url)
    else:
        storage = read_only_storage(url)
    import optuna_dashboard  # noqa: PLC0415  importing takes seconds, and others import only PortTaken

    app: WSGIApplication = optuna_dashboard.wsgi(storage)
    names = (HOST, "localhost", "[::1]")
    # Browsers omit the default port of HTTP from the header.
    hosts = frozenset((*(f"{name}:{port}" for name in names), *(names if port == _HTTP else ())))
    return _restrict(app, hosts, writable)


def open_server(url: str, port: int, writable: bool = False) -> WSGIServer:
    """Return a server that listens on 127.0.0.1; port 0 lets the system choose one.

    Raises PortTaken, other OSErrors, and DatabaseUnreadable. The caller closes the server.
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
    """Serve until interrupted, and call `ready` once with the address. Raises like open_server."""
    with open_server(url, port, writable) as server:
        ready(f"http://{HOST}:{server.server_port}/")
        server.serve_forever(poll_interval=0.1)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
        """Log no requests: they would fill the user's terminal."""


def _restrict(app: "WSGIApplication", hosts: frozenset[str], writable: bool) -> "WSGIApplication":
    origins = frozenset(f"http://{host}" for host in hosts)

    def restricted(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        if environ.get("HTTP_HOST") not in hosts:
            return _refuse(
                start, "403 Forbidden", "The Host header is not the dashboard's address."
            )
        if environ.get("HTTP_ORIGIN", next(iter(origins))) not in origins:
            return _refuse(start, "403 Forbidden", "Requests from other sites are not allowed.")
        if not writable and environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _refuse(start, "405 Method Not Allowed", "The dashboard is read-only.")
        return app(environ, start)

    return restricted


def _refuse(start: "StartResponse", status: str, message: str) -> Iterable[bytes]:
    headers = [("Content-Type", "text/plain; charset=utf-8")]
    if status.startswith("405"):
        headers.append(("Allow", "GET, HEAD"))
    start(status, headers)
    return [f"{message}\n".encode()]
