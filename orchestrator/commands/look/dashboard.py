"""`trytable dashboard`: serves the Optuna dashboard on this machine."""

from rich.console import Console
from rich.text import Text

from trytable.orchestrator.paths import Folders
from trytable.results.report.dashboard import serve
from trytable.spelling import flag


def serve_dashboard(folders: Folders, port: int, *, writable: bool, console: Console) -> None:
    """Serve the dashboard of all studies until Ctrl-C. Raises PortTaken, DatabaseUnreadable."""
    mode = "changes are allowed" if writable else f"read-only; {flag('WRITABLE')} allows changes"
    address = f"http://127.0.0.1:{port}/"
    console.print(Text(f"Optuna dashboard on {address} ({mode}). Press Ctrl-C to stop it."))
    serve(folders.url, port, writable)
