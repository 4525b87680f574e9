"""A proxy before PostgreSQL that loses the answers to commits: written, and never heard of."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

_CHUNK = 1 << 16


class LosingProxy:
    """Listens on loopback for one server on a socket file.

    Args:
        server: the server's socket file.
        loses: asked at every commit whether its answer, and the connection, is lost.
    """

    def __init__(self, server: Path, loses: Callable[[], bool]) -> None:
        self._server = server
        self._loses = loses
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._open: list[socket.socket] = [self._listening]
        threading.Thread(target=self._accept, daemon=True).start()

    def through(self, url: str) -> str:
        """The URL of the same database through this proxy."""
        found = sa.make_url(url).difference_update_query(["host"])
        address = found.set(host="127.0.0.1", port=self.port)
        return address.render_as_string(hide_password=False)

    def close(self) -> None:
        """Close every connection."""
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server))
            self._open += [client, server]
            lost = threading.Event()
            for pump in (self._asked, self._answered):
                threading.Thread(target=pump, args=(client, server, lost), daemon=True).start()

    def _asked(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(_CHUNK):
                if b"COMMIT" in data and self._loses():
                    lost.set()
                server.sendall(data)
        _shut(server)

    def _answered(
        self, client: socket.socket, server: socket.socket, lost: threading.Event
    ) -> None:
        with suppress(OSError):
            while data := server.recv(_CHUNK):
                if lost.is_set():
                    break  # what was asked is done, and nobody hears of it
                client.sendall(data)
        _shut(client)
        _shut(server)


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
