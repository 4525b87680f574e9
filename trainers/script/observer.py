"""Runs a Python script as it is and reports what its optimizer really does.

`python [options] /path/observer.py SCRIPT ARGUMENTS…` (or `-m MODULE ARGUMENTS…`) is run by the
interpreter that the user's command names, often not Trytable's own. So this stays one file that is
run by its path, imports nothing but the standard library and works with Python 3.8 or later. The
script runs in the real `__main__`, with its own arguments, streams and exit code.

The observer never imports torch. Once the script has imported it, the observer registers a global
optimizer hook, so that the script's code does not have to change. What it sees goes as JSON lines
to the file descriptor in TRYTABLE_OBSERVE, from where observation.py reads them: `torch` (its
version), `first` (what was there at the first step), `step`, and `end`.
"""

from __future__ import annotations

import sys

_MODULE_NAME = "_trytable_observe"

if __name__ == "__main__":
    # Python has put this file's folder first on the path. Nothing may be imported from there: the
    # script's `import command` or `import logs` would find our modules instead of its own.
    sys.path.pop(0)
    # The script must find an empty `__main__` (it pickles its classes by that name, and may look at
    # its globals), but this code has to stay alive as its caller and hook. So a second copy of it
    # runs in a module of another name, and `__main__` is cleared and given to the script. An import
    # by name is impossible, since the folder is off the path and Trytable may not be installed.
    _module = type(sys)(_MODULE_NAME)
    _module.__file__ = __file__
    sys.modules[_MODULE_NAME] = _module
    with open(__file__, encoding="utf-8") as _file:  # noqa: PTH123 - nothing is imported yet
        exec(compile(_file.read(), __file__, "exec"), _module.__dict__)  # noqa: S102 - this file
    _module.main()  # it never returns

import builtins  # noqa: E402 - not before this file's folder is off the path
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
"""Each of the first steps is reported; later ones ever more rarely, so that their number is bounded
by the logarithm of a training's length."""

STEPS_PER_DOUBLING = 200
"""About how many steps are reported each time that the number of steps doubles after that."""

GRADIENT_NORM_INTERVAL = 100
"""The gradient norm is computed once in so many steps."""

_FLUSH_LINES = 25
_FLUSH_SECONDS = 1.0
"""Steps are written after so many lines or seconds: single writes would cost the most."""

_MAX_GROUPS = 20
_MAX_NAMES = 5
_MAX_PASSES = 1000
"""A program that starts more passes over loaders before its first step trains from none of them."""

_VARIABLE = "TRYTABLE_OBSERVE"
_HIGH_DESCRIPTOR = 200


def main() -> None:
    """Install the observer, then become the script."""
    observer = TrainingObserver(_take_pipe())
    sys.meta_path.insert(0, ImportHook("torch", observer.torch_imported))
    del sys.argv[0]
    try:
        if sys.argv[0] == "-m":
            _run_module()
        else:
            _run_file(sys.argv[0])
    finally:
        observer.finish()
    sys.exit(0)


def _take_pipe() -> Any:
    """Return the pipe to the worker, and hide it from the script and from its children."""
    inherited = int(os.environ.pop(_VARIABLE))
    # A high number, so that the script's own files get the descriptors that they would get alone.
    descriptor = fcntl.fcntl(inherited, fcntl.F_DUPFD_CLOEXEC, _HIGH_DESCRIPTOR)
    os.close(inherited)
    return os.fdopen(descriptor, "wb", buffering=0)


def _run_file(path: str) -> None:
    """Run as `python PATH` does: the script is `__main__`, its folder is first on the path."""
    if not _is_isolated():
        sys.path.insert(0, os.path.dirname(os.path.realpath(path)))  # noqa: PTH120 - as Python does
    full = os.path.abspath(path)  # noqa: PTH100
    try:
        with open(full, "rb") as file:  # noqa: PTH123
            source = file.read()
    except OSError as error:
        reason = f"[Errno {error.errno}] {error.strerror}"
        message = f"{sys.executable}: can't open file {full!r}: {reason}"
        print(message, file=sys.stderr)  # noqa: T201 - Python's own message
        sys.exit(2)
    namespace = _fresh_main()
    loader = importlib.util.spec_from_file_location("__main__", full)
    namespace.update(
        __file__=full, __loader__=loader.loader if loader else None, __cached__=None
    )  # fmt: skip
    _run_as_main(lambda: exec(compile(source, full, "exec"), namespace))  # noqa: S102 - the user's own


def _run_module() -> None:
    """Run as `python -m MODULE` does."""
    name = sys.argv[1]
    if not _is_isolated():
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    del sys.argv[0]
    _fresh_main()
    _run_as_main(lambda: runpy._run_module_as_main(name))  # type: ignore[attr-defined] # what python -m calls


def _is_isolated() -> bool:
    """Return whether Python was told (-I, -P) not to put the script's folder on the path."""
    return bool(sys.flags.isolated or getattr(sys.flags, "safe_path", False))


def _fresh_main() -> dict[str, Any]:
    """Clear `__main__` and return its namespace, as Python starts a script with it."""
    namespace = sys.modules["__main__"].__dict__
    namespace.clear()
    namespace.update(
        __name__="__main__",
        __builtins__=builtins,
        __doc__=None,
        __package__=None,
        __spec__=None,
    )
    if sys.version_info < (3, 14):
        namespace["__annotations__"] = {}
    return namespace


def _run_as_main(run: Callable[[], object]) -> None:
    """Run, and print an exception with a traceback that begins in the script, not in this file."""
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
    """Calls `callback` once, when another import has loaded a module."""

    def __init__(self, name: str, callback: Callable[[Any], None]) -> None:
        self._name = name
        self._callback = callback

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:  # noqa: ARG002 - the import system's signature
        """Let the other finders find the module, and wrap its loader to learn when it is loaded."""
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        loader: Any = spec.loader if spec else None
        if loader is not None:
            original = loader.exec_module

            def exec_module(module: Any) -> None:
                original(module)
                with contextlib.suppress(Exception):  # an error here must not end a training
                    self._callback(module)

            loader.exec_module = exec_module
        return spec


class TrainingObserver:
    """Observes a training and writes what it sees to a pipe."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self._pid = os.getpid()
        self._torch: Any = None
        self._hook: Any = None
        self._optimizer: Any = None  # a weak reference to the first that took a step
        self._other_optimizers: set[int] = set()
        self._steps = 0
        self._last_step: dict[str, Any] = {}
        self._peak_step: dict[str, Any] | None = None
        self._highest = -math.inf
        self._decays: list[Any] = []
        self._decay_changed_at: int | None = None
        self._loaders = LoaderTracker()
        self._pending: list[dict[str, Any]] = []
        self._flushed_at = -math.inf

    def torch_imported(self, torch: Any) -> None:
        """Register a hook that runs after each step of any optimizer."""
        self._torch = torch
        self._report({"torch": str(torch.__version__)})
        optimizer = sys.modules["torch.optim.optimizer"]
        self._hook = optimizer.register_optimizer_step_post_hook(self._after_step)
        self._loaders.watch()

    def detach(self) -> None:
        """Remove the hook."""
        if self._hook is not None:
            self._hook.remove()

    def finish(self) -> None:
        """Report the last step, the one with the highest rate, and what else was counted."""
        if self._torch is None:
            return
        last = {**self._last_step, "step": self._steps} if self._last_step else None
        self._report(
            {
                "end": {
                    "steps": self._steps,
                    "other_optimizers": len(self._other_optimizers),
                    "last": last,
                    "peak": self._peak_step,
                    "decay_changed_at": self._decay_changed_at,
                }
            }
        )

    def _after_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:  # noqa: ARG002 - torch's signature
        """Look at a step, while the optimizer still has the rates that the step used."""
        if self._is_recording():
            return
        if self._optimizer is None:
            self._optimizer = weakref.ref(optimizer)
        elif optimizer is not self._optimizer():
            self._other_optimizers.add(id(optimizer))
            return
        self._steps += 1
        with contextlib.suppress(Exception):  # an error here must not end a training
            self._observe(optimizer, self._steps)

    def _is_recording(self) -> bool:
        """Return whether a graph is being compiled or captured: then nothing may be read."""
        compiler = getattr(self._torch, "compiler", None)
        if compiler is not None and getattr(compiler, "is_compiling", bool)():
            return True
        cuda = self._torch.cuda
        return bool(cuda.is_initialized() and cuda.is_current_stream_capturing())

    def _observe(self, optimizer: Any, number: int) -> None:
        groups = optimizer.param_groups
        if number == 1:
            self._report({"first": self._describe(optimizer)})
            self._decays = [group.get("weight_decay") for group in groups]
        highest = max(
            (g["lr"] for g in groups if isinstance(g["lr"], (int, float))), default=-math.inf
        )
        self._last_step = {
            "step": number,
            "epoch": self._loaders.epoch,
            "lr": [group["lr"] for group in groups[:_MAX_GROUPS]],
        }
        with_norm = number % GRADIENT_NORM_INTERVAL == 0
        if with_norm or is_reported_step(number):
            norm = {"gradient_norm": self._gradient_norm(optimizer)} if with_norm else {}
            self._pending.append({"step": {**self._last_step, **norm}})
            now = time.monotonic()
            if len(self._pending) >= _FLUSH_LINES or now > self._flushed_at + _FLUSH_SECONDS:
                self._flushed_at = now
                self._flush()
        elif highest > self._highest:
            self._peak_step = self._last_step
        self._highest = max(highest, self._highest)
        if self._decay_changed_at is None and self._decays != [
            group.get("weight_decay") for group in groups
        ]:
            self._decay_changed_at = number

    def _gradient_norm(self, optimizer: Any) -> float | None:
        """Return the L2 norm of all gradients as the step used them, after any clipping."""
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
            norms = [norm.to(device) for norm in torch._foreach_norm(gradients)]
            return float(torch.linalg.vector_norm(torch.stack(norms).float()))

    def _describe(self, optimizer: Any) -> dict[str, Any]:
        """Describe the optimizer, and the model, scheduler and data loader that belong to it."""
        self._loaders.begin_training()
        models, schedulers = self._find_objects(optimizer)
        groups = [
            {
                "lr": _to_number(group.get("initial_lr", group.get("lr"))),
                "weight_decay": _to_number(group.get("weight_decay")),
                "parameters": sum(p.numel() for p in group["params"]),
            }
            for group in optimizer.param_groups[:_MAX_GROUPS]
        ]
        return {
            "optimizer": type(optimizer).__name__,
            "groups": groups,
            "scheduler": _scheduler(schedulers[-1]) if schedulers else None,
            "batch_size": self._loaders.batch_size,
            "batches": self._loaders.batches,
            **(_model(models, optimizer) if models else {}),
        }

    def _find_objects(self, optimizer: Any) -> tuple[list[Any], list[Any]]:
        """Return the outermost modules with optimized parameters, and the optimizer's schedulers.

        They are looked for among all objects that the garbage collector knows, since nothing leads
        from an optimizer to its model. Never by isinstance: it asks lazy proxies for their
        `__class__`, which would make them load what they stand for.
        """
        module_class = sys.modules["torch.nn"].Module
        scheduling = sys.modules.get("torch.optim.lr_scheduler")
        scheduler_class = getattr(scheduling, "LRScheduler", None)
        modules, schedulers = [], []
        for candidate in gc.get_objects():
            kind = type(candidate)
            if issubclass(kind, module_class):
                modules.append(candidate)
            elif scheduler_class is not None and issubclass(kind, scheduler_class):
                schedulers.append(candidate)
        optimized = _optimized_ids(optimizer)
        inner = {id(child) for m in modules for child in m.__dict__.get("_modules", {}).values()}
        outer = [
            m
            for m in modules
            if id(m) not in inner
            and "_parameters" in m.__dict__
            and any(id(p) in optimized for p in m.parameters())
        ]
        return outer, [s for s in schedulers if s.__dict__.get("optimizer") is optimizer]

    def _report(self, report: dict[str, Any]) -> None:
        """Write a report, after all that are pending."""
        self._pending.append(report)
        self._flush()

    def _flush(self) -> None:
        """Write the pending reports, unless the worker has closed the pipe."""
        pending, self._pending = self._pending, []
        if self._pipe is None or os.getpid() != self._pid:  # a forked child reports nothing
            return
        try:
            lines = [json.dumps(report, default=_to_number) for report in pending]
            self._pipe.write("".join(f"{line}\n" for line in lines).encode())
        except OSError:
            self._pipe = None


class LoaderTracker:
    """Finds the loader that feeds the training: the last to begin a pass before the first step."""

    def __init__(self) -> None:
        self._sampler: Any = None
        self._passes = 0
        self._early_passes: list[Any] = []
        self._is_training = False

    def watch(self) -> None:
        """Wrap torch's DataLoader to learn of every pass over one."""
        dataloader: Any = sys.modules.get("torch.utils.data.dataloader")
        if dataloader is None:
            return
        on_pass, original_iter = self._on_pass, dataloader.DataLoader.__iter__

        def __iter__(loader: Any) -> Any:  # noqa: N807 - the name that tracebacks show
            with contextlib.suppress(Exception):  # as in TrainingObserver
                on_pass(loader._index_sampler)
            return original_iter(loader)

        dataloader.DataLoader.__iter__ = __iter__

    def _on_pass(self, sampler: Any) -> None:
        if self._is_training:
            self._passes += self._is_same_feed(sampler)
        elif len(self._early_passes) < _MAX_PASSES:
            self._early_passes.append(sampler)

    def begin_training(self) -> None:
        """Choose the loader, now that the first step has come."""
        self._is_training = True
        if self._early_passes:
            self._sampler = self._early_passes[-1]
            self._passes = sum(map(self._is_same_feed, self._early_passes))
        self._early_passes.clear()

    def _is_same_feed(self, sampler: Any) -> bool:
        """Return whether two loaders feed alike: many scripts make a new loader for every epoch."""
        return sampler is self._sampler or _feed_key(sampler) == _feed_key(self._sampler)

    @property
    def epoch(self) -> int | None:
        """The pass over the loader that feeds the training, counted from 1."""
        return self._passes or None

    @property
    def batch_size(self) -> int | None:
        """Rows in a batch, None if the loader does not make the batches itself."""
        size = getattr(self._sampler, "batch_size", None)
        return size if isinstance(size, int) else None

    @property
    def batches(self) -> int | None:
        """Batches in a pass, None if the loader does not know."""
        with contextlib.suppress(Exception):
            return len(self._sampler)
        return None


def _feed_key(sampler: Any) -> tuple[Any, ...]:
    """Return what tells a train loader from a dev loader: how it draws, and how much."""
    inner = getattr(sampler, "sampler", sampler)
    rows = None
    with contextlib.suppress(Exception):
        rows = len(inner)
    if rows is None:
        return (id(sampler),)
    return type(sampler), type(inner), rows, getattr(sampler, "batch_size", None)


def is_reported_step(step: int) -> bool:
    """Return whether a step is reported: all of the first, then as many of every doubling."""
    if step <= FULL_DETAIL_STEPS:
        return True
    return step % (1 << int(math.log2(step / STEPS_PER_DOUBLING))) == 0


def _model(models: Iterable[Any], optimizer: Any) -> dict[str, Any]:
    """Describe the optimized modules: size, dropouts, and parameters that are in no group."""
    optimized = _optimized_ids(optimizer)
    by_id = {id(p): (name, p) for m in models for name, p in m.named_parameters()}
    missing = [n for key, (n, p) in by_id.items() if p.requires_grad and key not in optimized]
    return {
        "model": ", ".join(sorted({type(model).__name__ for model in models})),
        "parameters": sum(p.numel() for _, p in by_id.values()),
        "trainable": sum(p.numel() for _, p in by_id.values() if p.requires_grad),
        "in_no_group": len(missing),
        "in_no_group_names": missing[:_MAX_NAMES],
        "dropouts": _dropouts(models),
    }


def _optimized_ids(optimizer: Any) -> set[int]:
    """Return the ids of the parameters in the optimizer's groups."""
    return {id(p) for group in optimizer.param_groups for p in group["params"]}


def _dropouts(models: Iterable[Any]) -> dict[str, int]:
    """Count the modules that have each dropout probability."""
    layers = sys.modules["torch.nn.modules.dropout"]._DropoutNd
    counts: dict[str, int] = {}
    for module in {id(m): m for model in models for m in model.modules()}.values():
        attributes = module.__dict__
        names = ("p",) if issubclass(type(module), layers) else ("dropout", "attention_dropout")
        for p in [attributes[name] for name in names if name in attributes]:
            if isinstance(p, (int, float)) and not isinstance(p, bool):
                counts[repr(float(p))] = counts.get(repr(float(p)), 0) + 1
    return counts


def _scheduler(scheduler: Any) -> dict[str, Any]:
    """Return a scheduler's class and its numbers, such as T_max and eta_min."""
    description = {"name": type(scheduler).__name__}
    for name in ("T_max", "T_0", "eta_min", "total_steps", "total_iters", "step_size", "gamma"):
        value = getattr(scheduler, name, None)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            description[name] = value  # type: ignore[assignment]
    return description


def _to_number(value: Any) -> float | None:
    """Return a value, or the one element of a tensor, as a plain number; None if it is none."""
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        return None
