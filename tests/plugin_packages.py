"""Installs small packages with entry points, laid out as pip leaves them in site-packages."""

from collections.abc import Mapping
from pathlib import Path


def install_package(
    site: Path,
    name: str,
    modules: Mapping[str, str],
    entry_points: Mapping[str, Mapping[str, str]],
    version: str = "1.0",
) -> Path:
    """Install a package below `site`, a folder of the import path; return the folder.

    `modules` are sources by file name, `entry_points` names and values by group.
    """
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, values in entry_points.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in values.items()), ""]
    (folder / "entry_points.txt").write_text("\n".join(lines))
    for file, source in modules.items():
        path = site / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return site
