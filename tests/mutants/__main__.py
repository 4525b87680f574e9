"""`python -m tests.mutants [COUNT] [SEED]`: how many planted faults do the tests notice?

COUNT mutants (50) of the product, chosen by SEED (0), one after the other in a copy of the commit
that is checked out. Each is tested by the folder of tests that mirrors its own folder, then, if it
survives, by tests/test_main_job.py, and with `--all` by all tests. A test that fails, an error
during collection and a run that takes several times as long as without the mutant kill it.
`--under results/analysis` takes mutants of one folder only.

An interrupted run goes on where it was: results are in build/mutants/COMMIT.jsonl. A mutant that
changes nothing that matters counts as survived, too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
from rich.console import Console

from tests.mutants.operators import Mutant, choose, mutants_of, product_files

Verdict = Literal["passed", "failed", "timeout"]
MAIN_JOB = ["tests/test_main_job.py"]
EVERY = ["tests"]
BASELINE_SECONDS = 2400.0
"""How long a selection of tests may take without any mutant."""

SLACK_FACTOR, SLACK_SECONDS = 3.0, 60.0
"""A mutant's tests may take this many times as long as without it, and this much longer."""

OUTPUT = "output.txt"
"""What pytest printed last, in the copy."""

NO_TESTS = 5
"""pytest's exit code if it collected nothing."""


@dataclass(frozen=True)
class Result:
    """How a selection of tests went: under a mutant, or without any (`key` is then the tests)."""

    key: str
    tests: tuple[str, ...]
    verdict: Verdict
    seconds: float


class Log:
    """The results of one commit, a line of JSON each."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._results = {(result.key, result.tests): result for result in self._read()}

    def get(self, key: str, tests: Sequence[str]) -> Result | None:
        """The result of an earlier run."""
        return self._results.get((key, tuple(tests)))

    def add(self, result: Result) -> Result:
        """Write a result to the disk."""
        self._results[result.key, result.tests] = result
        with self._path.open("a") as file:
            file.write(json.dumps(vars(result)) + "\n")
        return result

    def _read(self) -> Iterator[Result]:
        for line in self._path.read_text().splitlines() if self._path.exists() else ():
            fields = json.loads(line)
            yield Result(**{**fields, "tests": tuple(fields["tests"])})


class Planter:
    """A copy of a checkout, in which mutants live one at a time."""

    def __init__(self, top: Path, copy: Path, log: Log) -> None:
        self._copy = copy
        self._log = log
        archive = subprocess.run(
            ["git", "archive", "HEAD"], cwd=top, check=True, capture_output=True
        )
        subprocess.run(["tar", "-x", "-C", copy], input=archive.stdout, check=True)
        names = subprocess.run(
            ["git", "ls-files"], cwd=top, check=True, capture_output=True, text=True
        )
        self._names = names.stdout.splitlines()
        self._check_import()

    def mutants(self, under: str, count: int, seed: int) -> list[Mutant]:
        """The chosen mutants of a folder."""
        sources = {
            str(path): (self._copy / path).read_bytes()
            for path in product_files(self._names)
            if path.is_relative_to(under)
        }
        every = [m for path, source in sources.items() for m in mutants_of(path, source)]
        return choose(every, count, seed)

    def test(self, mutant: Mutant, tests: Sequence[str]) -> Result:
        """Run tests under a mutant, or look up how they went."""
        before = self._log.get(mutant.key, tests)
        if before:
            return before
        limit = self._baseline(tests).seconds * SLACK_FACTOR + SLACK_SECONDS
        path = self._copy / mutant.path
        source = path.read_bytes()
        path.write_bytes(mutant.apply(source))
        try:
            verdict, seconds = self._pytest(tests, limit)
        finally:
            path.write_bytes(source)
        return self._log.add(Result(mutant.key, tuple(tests), verdict, seconds))

    def mirror(self, mutant: Mutant) -> list[str]:
        """The folder of tests that mirrors a mutant's own, or the tests of the whole."""
        folder = Path("tests", *Path(mutant.path).parent.parts)
        if (self._copy / folder).is_dir():
            return [str(folder)]
        return [name for name in self._names if Path(name).match("tests/test_*.py")]

    def _baseline(self, tests: Sequence[str]) -> Result:
        key = "without a mutant"
        before = self._log.get(key, tests)
        if before:
            return before
        verdict, seconds = self._pytest(tests, BASELINE_SECONDS)
        if verdict != "passed":
            printed = (self._copy / OUTPUT).read_text(errors="replace")[-4000:]
            sys.exit(f"{printed}\n{' '.join(tests)}: {verdict} without a mutant. Mend this first.")
        return self._log.add(Result(key, tuple(tests), verdict, seconds))

    def _pytest(self, tests: Sequence[str], limit: float) -> tuple[Verdict, float]:
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
        if tests == EVERY:
            command += ["-n", "auto", "--dist", "worksteal"]
        begin = time.monotonic()
        with (self._copy / OUTPUT).open("w") as output:
            process = subprocess.Popen(
                [*command, *tests],
                cwd=self._copy,
                env=self._environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            return "timeout", time.monotonic() - begin
        finally:
            self._kill_processes()
            process.wait()
        if code == NO_TESTS:
            sys.exit(f"{' '.join(tests)}: no tests there.")
        return "failed" if code else "passed", time.monotonic() - begin

    def _kill_processes(self) -> None:
        """Kill what runs on the copy's code: a mutant may leave processes behind."""
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("PYTHONPATH") == str(self._copy):
                    process.kill()

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self._copy), "PYTHONDONTWRITEBYTECODE": "1"}

    def _check_import(self) -> None:
        """The tests must import the copy, wherever this Python has the product installed."""
        code = "import trytable, trytable.results; print(trytable.results.__path__[0])"
        printed = subprocess.run(
            [sys.executable, "-P", "-c", code],
            env=self._environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        if not Path(printed).resolve().is_relative_to(self._copy.resolve()):
            sys.exit(f"The copy's tests would import {printed}, not {self._copy}.")


def main(arguments: Sequence[str]) -> int:
    """Plant, test and print. Returns the exit code."""
    parser = argparse.ArgumentParser("python -m tests.mutants", description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=50)
    parser.add_argument("seed", nargs="?", type=int, default=0)
    parser.add_argument("--under", default="", metavar="FOLDER", help="mutants of this folder only")
    parser.add_argument("--all", action="store_true", help="all tests for what survives its own")
    options = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    top = Path(_git("rev-parse", "--show-toplevel"))
    log = Log(top / "build" / "mutants" / f"{_git('rev-parse', 'HEAD')}.jsonl")
    with tempfile.TemporaryDirectory(prefix="trytable-mutants-") as folder:
        planter = Planter(top, Path(folder), log)
        mutants = planter.mutants(options.under, options.count, options.seed)
        survived = 0
        for number, mutant in enumerate(mutants, 1):
            for tests in (planter.mirror(mutant), MAIN_JOB, *([EVERY] if options.all else [])):
                result = planter.test(mutant, tests)
                if result.verdict != "passed":
                    break
            survived += result.verdict == "passed"
            console.print(
                f"{number:3} {_sentence(result)}  {mutant.path}:{mutant.line}", markup=False
            )
            console.print(f"      {mutant.kind}: {mutant.text.splitlines()[0]}", markup=False)
    console.print(f"killed {len(mutants) - survived} of {len(mutants)}")
    return 0


def _sentence(result: Result) -> str:
    verdict = {"passed": "SURVIVED", "failed": "killed", "timeout": "killed (time limit)"}
    if result.verdict == "passed":
        return verdict["passed"]
    return f"{verdict[result.verdict]} by {' '.join(result.tests)} in {result.seconds:.0f} s"


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
