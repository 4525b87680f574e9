"""`make gpu-pack`: gathers all that travels to a machine without a network.

It lists and fetches the packages that such a machine lacks, as wheels for CPython 3.12, adds a
bf16 copy of `minilm` if there is room, prints the size of all that travels, and writes one archive.
The machine's own packages stay as they are, torch above all.
"""

import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.space import TOP

MACHINE = (
    *("torch", "transformers", "accelerate", "peft", "tokenizers", "safetensors"),
    *("huggingface_hub", "numpy", "scipy", "pandas", "pyarrow", "psutil", "nvidia-ml-py"),
    *("filelock", "regex", "rich", "typer", "fsspec", "Jinja2", "MarkupSafe", "PyYAML", "tqdm"),
    *("packaging", "typing_extensions"),
)
"""What the machine must have."""

CARRIED = (
    *("optuna", "optuna-dashboard", "bottle", "alembic", "SQLAlchemy", "Mako", "colorlog"),
    *("pydantic", "pydantic_core", "annotated-types", "typing-inspection"),
    *("ruamel.yaml", "tenacity", "xlsxwriter"),
)
"""What the machine lacks and the check imports; the versions are those of requirements.txt."""

LIMIT_MIB = 60.0
PYTHON = "3.12"
"""The machine's Python; `python -m benchmarks.gpu.pack 3.13` packs for another."""

_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
_FOLDER = TOP / "build" / "gpu"
WHEELS, MINILM, ARCHIVE = (_FOLDER / n for n in ("wheels", "minilm-bf16", "trytable-gpu.tar.gz"))
_SOURCES = (
    *("trytable", "sweeps", "orchestrator", "trainers", "results", "benchmarks"),
    *("requirements.txt", "pyproject.toml"),
)
_MIB = 2**20


def main(python: str = PYTHON) -> int:
    """Fetch for this version of CPython, pack and print. Returns 1 if it is too large to travel."""
    pins = pinned(CARRIED, (TOP / "requirements.txt").read_text())
    print("The machine has:", ", ".join(MACHINE))
    print("It lacks:", ", ".join(pins))
    _fetch(pins, python)
    sizes = {"sources": _size(_SOURCES), "wheels": _bytes(WHEELS)}
    sizes |= _copy_minilm(sum(sizes.values()))
    _archive()
    for wheel in sorted(WHEELS.glob("*.whl")):
        print(f"  {wheel.stat().st_size / _MIB:6.2f} MiB  {wheel.name}")
    for name, size in sizes.items():
        print(f"{size / _MIB:8.2f} MiB  {name}")
    total = sum(sizes.values()) / _MIB
    print(f"{total:8.2f} MiB  travel in all (limit {LIMIT_MIB:.0f}); {ARCHIVE} holds them")
    return int(total >= LIMIT_MIB)


def pinned(names: Sequence[str], requirements: str) -> list[str]:
    """Return each package with its pinned version. Raises LookupError for one without a pin."""
    pins = dict(re.findall(r"(?m)^([\w.-]+)==(\S+)$", requirements))
    by_name = {_normal(name): f"{name}=={version}" for name, version in pins.items()}
    missing = [name for name in names if _normal(name) not in by_name]
    if missing:
        raise LookupError(f"requirements.txt has no version of {', '.join(missing)}")
    return [by_name[_normal(name)] for name in names]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _fetch(pins: Sequence[str], python: str) -> None:
    """Download the wheels, without what they need themselves: the list names it. Raises on error.

    The folder holds exactly these afterwards, since two versions of one package stop pip.
    """
    shutil.rmtree(WHEELS, ignore_errors=True)
    platforms = [word for name in _PLATFORMS for word in ("--platform", name)]
    choice = ["--no-deps", "--only-binary=:all:", "--python-version", python]
    choice += ["--implementation", "cp", *platforms]
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(WHEELS), *choice, *pins],
        check=True,
    )


def _copy_minilm(other_bytes: int) -> dict[str, int]:
    """Write a bf16 copy of `minilm`, unless it is too large. Returns its size by name."""
    import torch  # noqa: PLC0415 - the rest needs none
    from safetensors.torch import load_file, save_file  # noqa: PLC0415 - see above

    from trytable.trainers.models.locate import resolve  # noqa: PLC0415 - see above

    shutil.rmtree(MINILM, ignore_errors=True)
    MINILM.mkdir(parents=True)
    source = Path(resolve("minilm"))
    weights = load_file(source / "model.safetensors")
    halves = {k: v.to(torch.bfloat16) if v.is_floating_point() else v for k, v in weights.items()}
    save_file(halves, MINILM / "model.safetensors", metadata={"format": "pt"})
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy2(source / name, MINILM / name)
    size = _bytes(MINILM)
    if (other_bytes + size) / _MIB < LIMIT_MIB:
        return {"minilm in bf16": size}
    shutil.rmtree(MINILM)
    print(f"minilm in bf16 ({size / _MIB:.1f} MiB) does not fit: MiniLM gets random weights.")
    return {}


def _archive() -> None:
    with tarfile.open(ARCHIVE, "w:gz") as archive:
        for path in [*(TOP / name for name in _SOURCES), WHEELS, MINILM]:
            if path.exists():
                archive.add(path, _name_in_archive(path), filter=_without_caches)


def _name_in_archive(path: Path) -> str:
    return path.relative_to(TOP).as_posix()


def _without_caches(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in member.name else member


def _size(names: Sequence[str]) -> int:
    return sum(_bytes(TOP / name) for name in names)


def _bytes(path: Path) -> int:
    """Return the bytes of a file, or of a folder's files; a link in it is not followed."""
    if path.is_file():
        return path.stat().st_size
    files = (file for file in path.rglob("*") if file.is_file() and not file.is_symlink())
    return sum(file.stat().st_size for file in files if "__pycache__" not in file.parts)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
