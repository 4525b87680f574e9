"""Runs a Python script as it is and tells what its optimizer really does.

`python [options] /path/observe.py SCRIPT ARGUMENTS…` (or `-m MODULE ARGUMENTS…`), run by whatever
interpreter the person's command names, so it needs nothing but that interpreter's own library, of
3.8 or later. The script runs in the real `__main__`, with its own arguments, streams and exit code.

Torch is never imported from here: once the script has imported it, its global optimizer hook is
set. What is seen goes as JSON lines to the file descriptor in TRYTABLE_OBSERVE: `torch` (its
version), `first` (what the first step found), `step`, and `end`.
"""

from __future__ import annotations

import sys

_NAME = "_trytable_observe"

if __name__ == "__main__":
    # This file's folder must not be searched for the script's imports, nor for the ones below.
    sys.path.pop(0)
    _module = type(sys)(_NAME)
    _module.__file__ = __file__
    sys.modules[_NAME] = _module
    with open(__file__, encoding="utf-8") as _file:  # noqa: PTH123 - nothing is imported yet
        # A second copy under another name: `__main__` is emptied for the script.
        exec(compile(_file.read(), __file__, "exec"), _module.__dict__)  # noqa: S102 - this file
    _module.main()  # it never returns

import builtins  # noqa: E402 - as above: not before the path is clean
import contextlib  # noqa: E402
import fcntl  # noqa: E402
import gc  # noqa: E402
import importlib.util  # noqa: E402
import json  # noqa: E402
import math  # noqa: E402
import os  # noqa: E402
import runpy  # noqa: E402
import time  # noqa: E402
import weakref  # noqa: E402
from typing import Any, Callable, Iterable  # noqa: E402, UP035 - 3.8

FULL_DETAIL_STEPS = 400
"""So many steps are told each; later ones ever more rarely, so that their number stays small."""

THINNED = 200
"""Told of every doubling of the steps after that."""

GRADIENT_NORM_INTERVAL = 100
"""The gradient's norm is taken every so many steps."""

TOGETHER = 25
FLUSH_SECONDS = 1.0
"""So many steps are written at once, or all of so long: single writes would cost the most."""

MOST_GROUPS = 20
MOST_NAMES = 5
_VARIABLE = "TRYTABLE_OBSERVE"
_HIGH_DESCRIPTOR = 200


def main() -> None:
    """Set the watch, then become the script."""
    watch = TrainingObserver(_pipe())
    sys.meta_path.insert(0, ImportHook("torch", watch.torch_imported))
    del sys.argv[0]
    try:
        if sys.argv[0] == "-m":
            _run_module()
        else:
            _run_file(sys.argv[0])
    finally:
        watch.end()
    sys.exit(0)


def _pipe() -> Any:
    """The worker's pipe; the script's own children do not learn of it."""
    given = int(os.environ.pop(_VARIABLE))
    # Out of the way of the numbers that the script's own files get.
    descriptor = fcntl.fcntl(given, fcntl.F_DUPFD_CLOEXEC, _HIGH_DESCRIPTOR)
    os.close(given)
    return os.fdopen(descriptor, "wb", buffering=0)


def _run_file(path: str) -> None:
    """As `python PATH` does: `__main__` is the script, its folder the first to import from."""
    if not _is_isolated():
        sys.path.insert(0, os.path.dirname(os.path.realpath(path)))  # noqa: PTH120 - as Python does
    full = os.path.abspath(path)  # noqa: PTH100
    try:
        with open(full, "rb") as file:  # noqa: PTH123
            source = file.read()
    except OSError as error:
        said = f"{sys.executable}: can't open file {full!r}: [Errno {error.errno}] {error.strerror}"
        print(said, file=sys.stderr)  # noqa: T201 - Python's own words
        sys.exit(2)
    space = _fresh_main()
    loader = importlib.util.spec_from_file_location("__main__", full)
    space.update(
        __file__=full, __loader__=loader.loader if loader else None, __cached__=None
    )  # fmt: skip
    _as_if_alone(lambda: exec(compile(source, full, "exec"), space))  # noqa: S102 - the person's own


def _run_module() -> None:
    """As `python -m MODULE` does."""
    name = sys.argv[1]
    if not _is_isolated():
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    del sys.argv[0]
    _fresh_main()
    _as_if_alone(lambda: runpy._run_module_as_main(name))  # type: ignore[attr-defined] # what -m calls


def _is_isolated() -> bool:
    return bool(sys.flags.isolated or getattr(sys.flags, "safe_path", False))


def _fresh_main() -> dict[str, Any]:
    space = sys.modules["__main__"].__dict__
    space.clear()
    space.update(
        __name__="__main__",
        __builtins__=builtins,
        __doc__=None,
        __package__=None,
        __spec__=None,
    )
    if sys.version_info < (3, 14):
        space["__annotations__"] = {}
    return space


def _as_if_alone(run: Callable[[], object]) -> None:
    """Run, and have an exception's traceback begin where the script does."""
    try:
        run()
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        sys.exit(1)


class ImportHook:
    """Calls back once, when a module has been imported by somebody else."""

    def __init__(self, name: str, then: Callable[[Any], None]) -> None:
        self._name = name
        self._then = then

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:  # noqa: ARG002 - the import system's own form
        """Have the other finders find the module, and listen for the end of its import."""
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        loader: Any = spec.loader if spec else None
        if loader is not None:
            original = loader.exec_module

            def exec_module(module: Any) -> None:
                original(module)
                with contextlib.suppress(Exception):  # a watch that fails must not end a training
                    self._then(module)

            loader.exec_module = exec_module
        return spec


class TrainingObserver:
    """What is seen of a training, and the telling of it."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self._pid = os.getpid()
        self._torch: Any = None
        self._handle: Any = None
        self._main: Any = None  # a weak reference to the first optimizer that took a step
        self._others: set[int] = set()
        self._steps = 0
        self._told: dict[str, Any] = {}
        self._peak: dict[str, Any] | None = None
        self._highest = -math.inf
        self._decays: list[Any] = []
        self._decay_changed_at: int | None = None
        self._loaders = LoaderTracker()
        self._pending: list[dict[str, Any]] = []
        self._flushed_at = -math.inf

    def torch_imported(self, torch: Any) -> None:
        """Listen to every optimizer from here on."""
        self._torch = torch
        self._say({"torch": str(torch.__version__)})
        optimizer = sys.modules["torch.optim.optimizer"]
        self._handle = optimizer.register_optimizer_step_post_hook(self._stepped)
        self._loaders.watch()

    def forget(self) -> None:
        """Listen no more."""
        if self._handle is not None:
            self._handle.remove()

    def end(self) -> None:
        """Tell the last of it."""
        if self._torch is None:
            return
        last = {**self._told, "step": self._steps} if self._told else None
        self._say(
            {
                "end": {
                    "steps": self._steps,
                    "other_optimizers": len(self._others),
                    "last": last,
                    "peak": self._peak,
                    "decay_changed_at": self._decay_changed_at,
                }
            }
        )

    def _stepped(self, optimizer: Any, args: Any, kwargs: Any) -> None:  # noqa: ARG002 - torch's form
        """After a step, while the rates are still those that it used."""
        if self._is_out_of_reach():
            return
        if self._main is None:
            self._main = weakref.ref(optimizer)
        elif optimizer is not self._main():
            self._others.add(id(optimizer))
            return
        self._steps += 1
        with contextlib.suppress(Exception):  # as above
            self._look(optimizer, self._steps)

    def _is_out_of_reach(self) -> bool:
        """In a graph that is being recorded or compiled nothing may be read."""
        compiler = getattr(self._torch, "compiler", None)
        if compiler is not None and getattr(compiler, "is_compiling", bool)():
            return True
        cuda = self._torch.cuda
        return bool(cuda.is_initialized() and cuda.is_current_stream_capturing())

    def _look(self, optimizer: Any, number: int) -> None:
        groups = optimizer.param_groups
        if number == 1:
            self._say({"first": self._first(optimizer)})
            self._decays = [group.get("weight_decay") for group in groups]
        highest = max(
            (g["lr"] for g in groups if isinstance(g["lr"], (int, float))), default=-math.inf
        )
        self._told = {
            "step": number,
            "epoch": self._loaders.epoch,
            "lr": [group["lr"] for group in groups[:MOST_GROUPS]],
        }
        with_norm = number % GRADIENT_NORM_INTERVAL == 0
        if with_norm or is_reported_step(number):
            norm = {"gradient_norm": self._gradient_norm(optimizer)} if with_norm else {}
            self._pending.append({"step": {**self._told, **norm}})
            now = time.monotonic()
            if len(self._pending) >= TOGETHER or now > self._flushed_at + FLUSH_SECONDS:
                self._flushed_at = now
                self._flush()
        elif highest > self._highest:
            self._peak = self._told
        self._highest = max(highest, self._highest)
        if self._decay_changed_at is None and self._decays != [
            group.get("weight_decay") for group in groups
        ]:
            self._decay_changed_at = number

    def _gradient_norm(self, optimizer: Any) -> float | None:
        """The L2 norm of all gradients as the step found them: after the script's own clipping."""
        torch = self._torch
        gradients = [
            p.grad
            for group in optimizer.param_groups
            for p in group["params"]
            if p.grad is not None and not p.grad.is_sparse
        ]
        if not gradients:
            return None
        with torch.no_grad():
            device = gradients[0].device
            norms = [one.to(device) for one in torch._foreach_norm(gradients)]
            return float(torch.linalg.vector_norm(torch.stack(norms).float()))

    def _first(self, optimizer: Any) -> dict[str, Any]:
        self._loaders.found()
        models, schedulers = self._found(optimizer)
        groups = [
            {
                "lr": _number(group.get("initial_lr", group.get("lr"))),
                "weight_decay": _number(group.get("weight_decay")),
                "parameters": sum(p.numel() for p in group["params"]),
            }
            for group in optimizer.param_groups[:MOST_GROUPS]
        ]
        return {
            "optimizer": type(optimizer).__name__,
            "groups": groups,
            "scheduler": _scheduler(schedulers[-1]) if schedulers else None,
            "batch_size": self._loaders.batch_size,
            "batches": self._loaders.batches,
            **(_model(models, optimizer) if models else {}),
        }

    def _found(self, optimizer: Any) -> tuple[list[Any], list[Any]]:
        """The outermost modules that hold what is optimised, and the optimizer's schedulers.

        By type, never by isinstance: that would ask lazy proxies for their class and wake them.
        """
        module_class = sys.modules["torch.nn"].Module
        scheduling = sys.modules.get("torch.optim.lr_scheduler")
        scheduler_class = getattr(scheduling, "LRScheduler", None)
        modules, schedulers = [], []
        for one in gc.get_objects():
            kind = type(one)
            if issubclass(kind, module_class):
                modules.append(one)
            elif scheduler_class is not None and issubclass(kind, scheduler_class):
                schedulers.append(one)
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        inner = {
            id(child) for one in modules for child in one.__dict__.get("_modules", {}).values()
        }
        outer = [
            one
            for one in modules
            if id(one) not in inner
            and "_parameters" in one.__dict__
            and any(id(p) in held for p in one.parameters())
        ]
        return outer, [s for s in schedulers if s.__dict__.get("optimizer") is optimizer]

    def _say(self, what: dict[str, Any]) -> None:
        """Tell it, behind all that came before."""
        self._pending.append(what)
        self._flush()

    def _flush(self) -> None:
        """Write what is to be told, while somebody listens."""
        pending, self._pending = self._pending, []
        if self._pipe is None or os.getpid() != self._pid:  # a forked child tells nothing
            return
        try:
            lines = [json.dumps(what, default=_number) for what in pending]
            self._pipe.write("".join(f"{line}\n" for line in lines).encode())
        except OSError:
            self._pipe = None


class LoaderTracker:
    """Which data loader feeds the training: the last one whose pass began before the first step."""

    def __init__(self) -> None:
        self._sampler: Any = None
        self._passes = 0
        self._before: list[Any] = []
        self._is_known = False

    def watch(self) -> None:
        """Listen to every loader of torch from here on."""
        loading: Any = sys.modules.get("torch.utils.data.dataloader")
        if loading is None:
            return
        begun, begin = self._begun, loading.DataLoader.__iter__

        def __iter__(loader: Any) -> Any:  # noqa: N807 - under this name it stands in tracebacks
            with contextlib.suppress(Exception):  # as above
                begun(loader._index_sampler)
            return begin(loader)

        loading.DataLoader.__iter__ = __iter__

    def _begun(self, sampler: Any) -> None:
        if self._is_known:
            self._passes += self._is_same_feed(sampler)
        elif len(self._before) < _MOST_PASSES:
            self._before.append(sampler)

    def found(self) -> None:
        """The first step has come."""
        self._is_known = True
        if self._before:
            self._sampler = self._before[-1]
            self._passes = sum(map(self._is_same_feed, self._before))
        self._before.clear()

    def _is_same_feed(self, sampler: Any) -> bool:
        """The same one, or one like it: many a script makes its loader anew for every epoch."""
        return sampler is self._sampler or _feed(sampler) == _feed(self._sampler)

    @property
    def epoch(self) -> int | None:
        """The pass of the loader that feeds the training, counted from 1."""
        return self._passes or None

    @property
    def batch_size(self) -> int | None:
        """Rows of a batch, of a loader that makes batches itself."""
        size = getattr(self._sampler, "batch_size", None)
        return size if isinstance(size, int) else None

    @property
    def batches(self) -> int | None:
        """Batches of a pass."""
        with contextlib.suppress(Exception):
            return len(self._sampler)
        return None


def _feed(sampler: Any) -> tuple[Any, ...]:
    """What tells a training loader from one of dev: how it draws, and how much."""
    inner = getattr(sampler, "sampler", sampler)
    rows = None
    with contextlib.suppress(Exception):
        rows = len(inner)
    if rows is None:
        return (id(sampler),)
    return type(sampler), type(inner), rows, getattr(sampler, "batch_size", None)


_MOST_PASSES = 1000
"""A program that begins more before its first step trains from no loader of torch."""


def is_reported_step(step: int) -> bool:
    """Whether a step is told: the first ones all, then of every doubling about as many."""
    if step <= FULL_DETAIL_STEPS:
        return True
    return step % (1 << int(math.log2(step / THINNED))) == 0


def _model(models: Iterable[Any], optimizer: Any) -> dict[str, Any]:
    """Of the modules that are optimised: their size, their dropouts, and what no group holds."""
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    named = {id(p): (name, p) for one in models for name, p in one.named_parameters()}
    left = [name for key, (name, p) in named.items() if p.requires_grad and key not in held]
    return {
        "model": ", ".join(sorted({type(one).__name__ for one in models})),
        "parameters": sum(p.numel() for _, p in named.values()),
        "trainable": sum(p.numel() for _, p in named.values() if p.requires_grad),
        "in_no_group": len(left),
        "in_no_group_names": left[:MOST_NAMES],
        "dropouts": _dropouts(models),
    }


def _dropouts(models: Iterable[Any]) -> dict[str, int]:
    """How many modules drop with which probability."""
    layers = sys.modules["torch.nn.modules.dropout"]._DropoutNd
    found: dict[str, int] = {}
    for one in {id(m): m for model in models for m in model.modules()}.values():
        has = one.__dict__
        names = ("p",) if issubclass(type(one), layers) else ("dropout", "attention_dropout")
        for p in [has[name] for name in names if name in has]:
            if isinstance(p, (int, float)) and not isinstance(p, bool):
                found[repr(float(p))] = found.get(repr(float(p)), 0) + 1
    return found


def _scheduler(scheduler: Any) -> dict[str, Any]:
    """A scheduler's class and its numbers, such as T_max and eta_min."""
    told = {"name": type(scheduler).__name__}
    for name in ("T_max", "T_0", "eta_min", "total_steps", "total_iters", "step_size", "gamma"):
        value = getattr(scheduler, name, None)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            told[name] = value  # type: ignore[assignment]
    return told


def _number(value: Any) -> float | None:
    """A plain number, also out of a tensor of one."""
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        return None
