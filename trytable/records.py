"""Plain records and names that every room may import; the standard library is all it needs.

The rooms do not import each other freely: a worker must not load Optuna, a report must not load
pydantic models of a job. What several of them mean alike is defined here once.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, TypeGuard, TypeVar

T = TypeVar("T")

Scalar = bool | int | float | str | None
"""A value that a parameter, an attribute or a table cell may hold."""

Point = dict[str, Any]
"""A value for each swept parameter."""

Direction = Literal["maximize", "minimize"]
Severity = Literal["info", "warning", "error"]
Language = Literal["en", "zh"]

StoppingKind = Literal["no_learning", "divergence", "non_finite"]
"""The findings that may stop a trial."""

ParameterStyle = Literal["--k v", "--k=v", "k=v", "json", "yaml", "toml"]
"""How a script's `{params}` spells its parameters."""

SAMPLER_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "grid": (),
    "random": (),
    "tpe": ("startup_trials",),
    "gp": ("startup_trials",),
    "qmc": (),
}
"""The options that each sampler reads: studies of earlier versions store those of all samplers."""

PRUNER_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "median": ("startup_trials", "warmup_epochs", "patience"),
    "asha": ("min_epochs", "reduction_factor"),
    "hyperband": ("min_epochs", "reduction_factor"),
}
"""The options that each pruner reads: as above."""

UNLABELLED = -1
"""The class index of an example without a gold label."""


class Refused(Exception):
    """A file, a folder or a value of the user cannot be used; the message is one paragraph."""


_FORBID_EXTRA = {"extra": "forbid"}
# Read by pydantic, which checks these records as fields of a job or a sweep.


@dataclass(frozen=True)
class DataSource:
    """Where the text comes from, and how its files are read; `docs/data.md` has an example of each.

    `name` is `docstrings` (the embedded data), a folder with train, dev and test files, or a
    data set name for the `datasets` package. None means: decide by the content of the files.

    Attributes:
        text, text_pair, label: columns, by name or by number from 1.
        train, dev, test: the file or split to read; for dev also a share of train, such as 0.1.
        separator: what separates the columns of a text file.
        quoting: whether quotes around a field are syntax (csv) or part of the text (none).
        header: whether the first line holds the columns' names.
        encoding: the encoding of text files; by default UTF-8, or UTF-16 with a byte order mark.
        labels: the class of each label, or None to leave out the label's rows. Other labels are
            classes of their own.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        **_FORBID_EXTRA,
        "coerce_numbers_to_str": True,  # columns by number, labels that are numbers
    }

    name: str = "docstrings"
    text: str = "text"
    text_pair: str | None = None
    label: str = "label"
    train: str | None = None
    dev: float | str | None = None
    test: str | None = None
    separator: str | None = None
    quoting: Literal["csv", "none"] | None = None
    header: bool | None = None
    encoding: str | None = None
    labels: dict[str, str | None] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the plain dict that a study stores: where and which columns, and what is set."""
        always = ("name", "text", "text_pair", "label")
        return {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None or field.name in always
        }


@dataclass(frozen=True)
class LaunchSettings:
    """The command that trainer `script` runs, and how its output is read.

    Attributes:
        command: the words of the command; no shell splits them. `{name}` is filled in.
        style: how `{params}` spells each parameter, or the format of a parameter file.
        switches: parameters that become a bare `--name` if true, and nothing if false.
        cwd: the folder that the command runs in.
        env: environment variables, over the inherited ones.
        config: a file whose copy, with the parameters in it, `{config}` names; or None.
        patterns: regular expressions whose named groups are metrics.
        metrics_file: a JSON-lines or CSV file that the script writes metrics into, or None.
        observe: whether to read back a Python script's optimizer and dropout.
        no_progress_minutes: minutes without output after which the script counts as hanging.
        grace_seconds: seconds between SIGTERM and SIGKILL.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _FORBID_EXTRA

    command: tuple[str, ...]
    style: ParameterStyle = "--k v"
    switches: tuple[str, ...] = ()
    cwd: str = "."
    env: dict[str, str] = field(default_factory=dict)
    config: str | None = None
    patterns: tuple[str, ...] = ()
    metrics_file: str | None = None
    observe: bool = True
    no_progress_minutes: int | float = 60
    grace_seconds: int | float = 10


@dataclass(frozen=True)
class Objective:
    """The metric that a sweep optimizes, measured after every epoch, and its direction."""

    __pydantic_config__: ClassVar[dict[str, str]] = _FORBID_EXTRA

    name: str = "dev_accuracy"
    direction: Direction = "maximize"

    @property
    def maximize(self) -> bool:
        """Whether a larger value is better."""
        return self.direction == "maximize"

    def is_better(self, value: float, than: float | None) -> bool:
        """Whether a value beats another one, or there is no other one."""
        return than is None or self.gain(value, than) > 0

    def gain(self, value: float, over: float) -> float:
        """How much better a value is than another one; negative if it is worse."""
        return value - over if self.maximize else over - value

    def rank(self, value: float) -> float:
        """A sort key: the better value has the smaller one."""
        return -value if self.maximize else value

    def best(self, items: Iterable[T], value: Callable[[T], float]) -> T:
        """The item with the best value, the first of several. Raises ValueError without items."""
        return min(items, key=lambda item: self.rank(value(item)))


DEFAULT_OBJECTIVE = Objective()


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is an int or a float; a truth value is neither."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(value: object) -> bool:
    """Whether a value is neither NaN nor infinite. An int of any size and a text are finite."""
    return not isinstance(value, float) or math.isfinite(value)


def finite_or_none(value: float | None) -> float | None:
    """The value, or None if it is missing, NaN or infinite: not every database keeps those."""
    return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True)
class EpochMetrics:
    """What one epoch measured: losses in nats per sentence, accuracies as shares.

    `value` is the objective's, `running_accuracy` that of the batches as they were trained,
    `probe_accuracy` that of a fixed sample of train sentences in eval mode. None: not measured.

    The worker's event, the ledger's row and table, and the results derive from these fields: a new
    metric of an epoch is a new field here and a trainer that measures it.
    """

    value: float | None = None
    train_loss: float | None = None
    running_accuracy: float | None = None
    probe_accuracy: float | None = None
    dev_loss: float | None = None
    dev_accuracy: float | None = None
    dev_macro_f1: float | None = None
    seconds: float | None = None


EPOCH_METRICS = tuple(field.name for field in fields(EpochMetrics))
"""The names of an epoch's metrics."""


def epoch_metrics(epoch: EpochMetrics) -> dict[str, Any]:
    """The metrics of an event, a row or a result, by name; None for what is missing or not finite.

    Typed as keyword arguments for another record of an epoch.
    """
    return {name: finite_or_none(getattr(epoch, name)) for name in EPOCH_METRICS}


@dataclass(frozen=True)
class Leak:
    """Texts of a split that are also in another one.

    Of `size` texts in `split`, `shared` are in `other` too, `other_label` of them with another
    label there.
    """

    split: str
    other: str
    size: int
    shared: int
    other_label: int

    @property
    def share(self) -> float:
        """The share of the split's texts that are also in the other split."""
        return self.shared / self.size
