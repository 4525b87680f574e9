"""Where sweeps and studies are, unless the user names another folder."""

from importlib.util import find_spec
from pathlib import Path

DEFAULT_RUNS = Path("runs")


def sweeps_folder() -> Path:
    """Return `sweeps/` in the current folder, or the one that is installed with Trytable."""
    local = Path("sweeps")
    if local.is_dir():
        return local
    package = find_spec("trytable.sweeps")  # importing it would take a tenth of a second
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent
