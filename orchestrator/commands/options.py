"""The options of the verbs, and the records that are built from several of them.

Each option is a type: what it is in Python, its Make variable, its help text, and how its text is
read. Heavy modules are imported when a record needs them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from trytable.orchestrator.commands import readers
from trytable.orchestrator.commands.command_line import PREFIX, Alias, Record
from trytable.orchestrator.commands.completion import study_names, sweep_names
from trytable.orchestrator.commands.locations import DEFAULT_RUNS
from trytable.orchestrator.commands.option_records import (
    DEFAULT_LR_FROM,
    DEFAULT_LR_TO,
    DEFAULT_RANGE_SEEDS,
    DEFAULT_STEPS,
    RangeTestOptions,
    ReportOptions,
)
from trytable.orchestrator.commands.readers import (
    Override,
    all_tests,
    language,
    number,
    override,
    port_number,
    storage_url,
    study_name,
    switch,
    whole_number,
    words,
)
from trytable.orchestrator.errors import UserError
from trytable.records import Language
from trytable.results.text.catalog import Words
from trytable.spelling import label, setting

if TYPE_CHECKING:
    from trytable.orchestrator.paths import Folders
    from trytable.orchestrator.run.engine import EngineOptions

Reader = Callable[[str, str], object]

DEFAULT_TOP, DEFAULT_SEEDS = 3, 5
"""How many leaders are confirmed, and with how many seeds each."""

DEFAULT_PORT = 8080

ENGINE_PANEL = "Where trials run"
STUDIES_PANEL = "Where studies are stored"
REPORT_PANEL = "Report"


@dataclass(frozen=True)
class SweepChanges:
    """What replaces the settings of a sweep file.

    Attributes:
        settings: values by top-level key, knob or dotted path.
        variables: the same as Make variables, to print a command.
    """

    settings: Mapping[str, object]
    variables: Mapping[str, str]


def option(
    variable: str,
    text: str,
    *names: str,
    read: Reader | None = None,
    **typer_options: Any,
) -> Any:
    """Return a Typer option that the Make variable sets, too."""
    return typer.Option(
        *names,
        envvar=f"{PREFIX}{variable}",
        show_envvar=False,  # the help text of each verb has the rule
        help=text,
        parser=_parser(variable, read),
        **typer_options,
    )


def argument(variable: str, text: str, read: Reader | None = None, **typer_options: Any) -> Any:
    """Return a Typer argument that the Make variable sets, too."""
    return typer.Argument(
        envvar=f"{PREFIX}{variable}",
        show_envvar=False,
        help=text,
        metavar=variable,
        parser=_parser(variable, read),
        **typer_options,
    )


def _parser(variable: str, read: Reader | None) -> Callable[[Any], Any] | None:
    if read is None:
        return None
    # Typer parses the default, too.
    return lambda value: read(variable, value) if value and isinstance(value, str) else value


SweepName = Annotated[
    str,
    argument("NAME", "Name of a file in sweeps/, without .yaml.", autocompletion=sweep_names),
    Alias("--name"),
]
StudyName = Annotated[
    str,
    argument("NAME", "Name of the study.", study_name, autocompletion=study_names),
    Alias("--name"),
]
MovedStudy = Annotated[str, option("NAME", "The study to copy; all by default.", metavar="NAME")]
Source = Annotated[str, argument("FROM", "Folder or URL to copy from.")]
Target = Annotated[str, argument("TO", "Folder or URL to copy to.")]
TryNumber = Annotated[
    int | None, argument("TRY", "Number of the try, such as 3.", whole_number), Alias("--try")
]
AnotherTry = Annotated[
    int | None, option("TRY", "Another try than the best.", "--try", read=whole_number)
]

Trials = Annotated[int | None, option("TRIALS", "Trials in total.", read=whole_number)]
Hours = Annotated[float | None, option("HOURS", "Time limit.", read=number)]
Data = Annotated[
    str, option("DATA", "Folder with the texts, or name of a data set.", metavar="FOLDER")
]
Model = Annotated[
    str, option("MODEL", "Folder, or name that transformers knows.", metavar="FOLDER")
]
Settings = Annotated[
    Override | None,
    option(
        "SET",
        "Settings to use instead of the file's: --set 'epochs=2 lr=1e-4'.",
        "--set",
        read=override,
        metavar="KEY=VALUE",
    ),
]
AsNew = Annotated[bool, option("AS_NEW", "Start a new study.", read=switch, show_default=False)]
RetryFailed = Annotated[bool, option("RETRY_FAILED", "Try failed points again.", read=switch)]

LogLevel = Annotated[
    readers.LogLevel,
    option("LOG_LEVEL", "What goes to orchestrator.log of the run.", read=readers.log_level),
]

Top = Annotated[int, option("TOP", "How many of the best tries to retrain.", read=whole_number)]
Seeds = Annotated[int, option("SEEDS", "Seeds for each.", read=whole_number)]

Freeze = Annotated[
    str, option("FREEZE", "Freeze strategies to test: none,half.", metavar="STRATEGIES")
]
LrFrom = Annotated[float, option("LR_FROM", "Lowest learning rate.", read=number)]
LrTo = Annotated[float, option("LR_TO", "Highest learning rate.", read=number)]
Steps = Annotated[int, option("STEPS", "Optimizer steps of a run.", read=whole_number)]
Apply = Annotated[
    bool, option("APPLY", "Write a sweep file with the bounds.", read=switch, show_default=False)
]

Out = Annotated[Path | None, option("OUT", "New folder to write.", metavar="FOLDER")]
Log = Annotated[Path | None, option("LOG", "Log, CSV or JSON file to import.", metavar="FILE")]
Pattern = Annotated[
    str, option("PATTERN", "Lines of your own format, with named groups.", metavar="REGEX")
]
Formats = Annotated[
    Sequence[str],
    option("FORMAT", "Formats: csv,tex. All by default.", "--format", read=words, metavar="WORDS"),
]
Port = Annotated[int, option("PORT", "Port on 127.0.0.1.", read=port_number)]
Writable = Annotated[bool, option("WRITABLE", "Allow changes.", read=switch, show_default=False)]

_Slots = Annotated[
    int | None,
    option("SLOTS", "Trials at once.", read=whole_number, rich_help_panel=ENGINE_PANEL),
]
_EngineName = Annotated[
    str,
    option("ENGINE", "local, or ray for a cluster.", metavar="NAME", rich_help_panel=ENGINE_PANEL),
]
_Checkpoints = Annotated[
    str,
    option(
        "CHECKPOINTS",
        "fsspec URL for checkpoints, if the nodes share no folder.",
        metavar="URL",
        rich_help_panel=ENGINE_PANEL,
    ),
]
_ReportLanguage = Annotated[
    Language,
    option(
        "REPORT_LANG",
        "English or Chinese.",
        "--lang",
        read=language,
        rich_help_panel=REPORT_PANEL,
    ),
]
_AllTests = Annotated[
    Literal["all"] | None,
    option("TEST", "Show every test accuracy.", read=all_tests, rich_help_panel=REPORT_PANEL),
]
_Runs = Annotated[
    Path, option("RUNS", "Folder of all studies.", metavar="FOLDER", rich_help_panel=STUDIES_PANEL)
]
_Storage = Annotated[
    str,
    option(
        "STORAGE",
        "postgresql://… instead of the SQLite file in that folder.",
        read=storage_url,
        metavar="URL",
        rich_help_panel=STUDIES_PANEL,
    ),
]


def _sweep_changes(data: Data = "", model: Model = "", settings: Settings = None) -> SweepChanges:
    # SET comes last, so that SET="data.text=review" changes one key of the data that DATA names.
    values = {"data": {"name": data} if data else None, "model": model}
    texts = {"DATA": data, "MODEL": model, "SET": settings.text if settings else ""}
    return SweepChanges(
        {key: value for key, value in values.items() if value}
        | dict(settings.settings if settings else {}),
        {variable: text for variable, text in texts.items() if text},
    )


def _ramp(
    freeze: Freeze = "",
    lr_from: LrFrom = DEFAULT_LR_FROM,
    lr_to: LrTo = DEFAULT_LR_TO,
    steps: Steps = DEFAULT_STEPS,
    seeds: Seeds = DEFAULT_RANGE_SEEDS,
) -> RangeTestOptions:
    return RangeTestOptions(lr_from, lr_to, steps, seeds, freeze)


def _runs_folder(runs: _Runs = DEFAULT_RUNS) -> Path:
    return runs.resolve()


def _all_studies(runs: _Runs = DEFAULT_RUNS, storage: _Storage = "") -> "Folders":
    from trytable.orchestrator.paths import Folders  # noqa: PLC0415 - imports Optuna

    return Folders(runs.resolve(), "", storage)


def _any_study(
    name: StudyName = "", runs: _Runs = DEFAULT_RUNS, storage: _Storage = ""
) -> "Folders":
    return replace(_all_studies(runs, storage), study=name)


def _study(name: StudyName = "", runs: _Runs = DEFAULT_RUNS, storage: _Storage = "") -> "Folders":
    if not name:
        raise UserError(
            f"{label('NAME')} is missing. Use the name of a study, such as "
            f"{setting('NAME', 'dropout')}."
        )
    return _any_study(name, runs, storage)


def _engine(
    slots: _Slots = None, engine: _EngineName = "", checkpoints: _Checkpoints = ""
) -> "EngineOptions":
    from trytable.orchestrator.run.engine import EngineOptions  # noqa: PLC0415 - heavy

    return EngineOptions(engine, slots, checkpoints)


def _report(lang: _ReportLanguage = "en", test: _AllTests = None) -> ReportOptions:
    return ReportOptions(Words(lang), all_tests=test == "all")


def _report_language(lang: _ReportLanguage = "en") -> ReportOptions:
    return _report(lang)


Changes = Annotated[SweepChanges, Record(_sweep_changes)]
Ramp = Annotated[RangeTestOptions, Record(_ramp)]
RunsFolder = Annotated[Path, Record(_runs_folder)]
AllStudies = Annotated["Folders", Record(_all_studies)]
AnyStudy = Annotated["Folders", Record(_any_study)]
Study = Annotated["Folders", Record(_study)]
Engine = Annotated["EngineOptions", Record(_engine)]
Report = Annotated[ReportOptions, Record(_report)]
ReportLanguage = Annotated[ReportOptions, Record(_report_language)]
