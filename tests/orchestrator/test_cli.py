"""The command line: typed options with a variable each, and all mistakes in one message."""

import os
import re
import shlex
import subprocess
import sys
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperArgument, TyperCommand, TyperOption

from tests.orchestrator.running import TOP, write_sweep
from trytable import spelling
from trytable.orchestrator import cli
from trytable.orchestrator.commands.command_line import ALIAS_SUFFIX, PREFIX, variable_of
from trytable.orchestrator.commands.readers import Override

GROUP: Any = typer.main.get_command(cli.app)
VERBS: dict[str, TyperCommand] = GROUP.commands

VALUES: dict[str, tuple[str, object]] = {
    "NAME": ("mine", "mine"),
    "TRY": ("03", 3),
    "TRIALS": ("20", 20),
    "HOURS": ("1.5", 1.5),
    "DATA": ("my folder", "my folder"),
    "MODEL": ("bert", "bert"),
    "SET": ("lr=2e-5 seed=1", Override("lr=2e-5 seed=1", {"lr": 2e-5, "seed": 1})),
    "SLOTS": ("4", 4),
    "ENGINE": ("ray", "ray"),
    "CHECKPOINTS": ("s3://bucket", "s3://bucket"),
    "RUNS": ("else/where", Path("else/where")),
    "STORAGE": ("postgresql://u@h/d", "postgresql+psycopg://u@h/d"),
    "RETRY_FAILED": ("0", False),
    "AS_NEW": ("1", True),
    "REPORT_LANG": ("zh", "zh"),
    "TEST": ("all", "all"),
    "LOG_LEVEL": ("DEBUG", "debug"),
    "TOP": ("7", 7),
    "SEEDS": ("9", 9),
    "FREEZE": ("none,half", "none,half"),
    "LR_FROM": ("1e-5", 1e-5),
    "LR_TO": ("0.1", 0.1),
    "STEPS": ("50", 50),
    "APPLY": ("1", True),
    "FORMAT": ("md, csv,", ("md", "csv")),
    "PORT": ("99", 99),
    "WRITABLE": ("1", True),
    "OUT": ("a/b", Path("a/b")),
    "LOG": ("a.log", Path("a.log")),
    "PATTERN": ("(?P<loss>x)", "(?P<loss>x)"),
    "FROM": ("here", "here"),
    "TO": ("there", "there"),
}
"""A text for every variable that differs from the default, and what it is in Python."""

WRONG: dict[str, str] = {
    **dict.fromkeys(("TRIALS", "SLOTS", "TOP", "SEEDS", "STEPS"), "-1"),
    **dict.fromkeys(("HOURS", "LR_FROM", "LR_TO"), "nan"),
    **dict.fromkeys(("RETRY_FAILED", "AS_NEW", "APPLY", "WRITABLE"), "maybe"),
    "TRY": "x",
    "SET": "lr",
    "STORAGE": "mysql://u:secret@h/d",
    "REPORT_LANG": "de",
    "TEST": "some",
    "LOG_LEVEL": "loud",
    "PORT": "65536",
}
"""A text for every variable that does not take any text."""

PARAMS = [
    pytest.param(verb, param, id=f"{verb}-{param.name}")
    for verb, command in VERBS.items()
    for param in command.params
    if not param.name.endswith(ALIAS_SUFFIX)
]
STRICT = [param for param in PARAMS if variable_of(param.values[1]) in WRONG]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of a surrounding make, and a folder of its own."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)


def parsed(verb: str, *words: str) -> dict[str, Any]:
    """The values that the function of a verb gets for its options."""
    # In a context of its own, as `main` has: parsing chooses how messages spell options.
    context: Any = copy_context().run(VERBS[verb].make_context, verb, list(words))
    assert not context.meta["trytable.mistakes"], context.meta
    values: dict[str, Any] = context.params
    return values


def words_for(param: Any, text: str) -> list[str]:
    """The words that set an option on the command line."""
    if isinstance(param, TyperArgument):
        return ["first"] * (param.name in ("number", "target")) + [text]
    return [param.opts[0], text]


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """The lines of a message that ends with exit code 2, without its first word."""
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    printed = capsys.readouterr()
    assert end.value.code == 2
    assert printed.out == ""
    assert "Usage" not in printed.err
    assert "Traceback" not in printed.err
    assert printed.err.startswith("trytable: ")
    return printed.err.removeprefix("trytable: ").splitlines()


@pytest.mark.parametrize(("verb", "param"), PARAMS)
def test_each_option_has_its_own_variable(verb: str, param: Any) -> None:
    assert isinstance(param.envvar, str), "give it an envvar, and a value in VALUES"
    assert param.envvar.startswith(PREFIX)
    assert variable_of(param) in VALUES
    if isinstance(param, TyperOption) and param.opts != ["--lang"]:
        assert param.opts == [spelling.option_name(variable_of(param))]
    assert param.help


@pytest.mark.parametrize(("verb", "param"), PARAMS)
def test_an_empty_variable_means_not_set(
    verb: str, param: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = parsed(verb)
    monkeypatch.setenv(param.envvar, "")
    assert parsed(verb) == default
    if isinstance(param, TyperOption):
        assert parsed(verb, *words_for(param, "")) == default
    monkeypatch.setenv(param.envvar, VALUES[variable_of(param)][0])
    assert parsed(verb) != default, "the test would see a value that is not empty"


@pytest.mark.parametrize(("verb", "param"), PARAMS)
def test_a_value_is_typed_from_the_variable_and_from_the_option(
    verb: str, param: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, value = VALUES[variable_of(param)]
    monkeypatch.setenv(param.envvar, text)
    result = parsed(verb)[param.name]
    assert (result, type(result)) == (value, type(value))
    monkeypatch.delenv(param.envvar)
    result = parsed(verb, *words_for(param, text))[param.name]
    assert (result, type(result)) == (value, type(value))


@pytest.mark.parametrize(("verb", "param"), STRICT)
def test_a_mistake_names_the_variable_or_the_option_that_the_user_wrote(
    verb: str, param: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    variable, text = variable_of(param), WRONG[variable_of(param)]
    monkeypatch.setenv(f"{PREFIX}NAME", "mine")
    monkeypatch.setenv(param.envvar, text)
    (by_variable,) = refused(capsys, verb)
    assert re.match(rf"{variable}(=|: )", by_variable)
    assert "--" not in by_variable
    monkeypatch.delenv(param.envvar)
    if param.secondary_opts:
        return  # a flag takes no other word; see the tests of flags
    (by_option,) = refused(capsys, verb, *words_for(param, text))
    written = variable if isinstance(param, TyperArgument) else param.opts[0]
    assert re.match(rf"{written}( |: )", by_option)
    assert not re.search(r"\b[A-Z_]{3,}=", by_option)
    assert "secret" not in by_option + by_variable


def test_all_wrong_options_are_reported_together(capsys: pytest.CaptureFixture[str]) -> None:
    lines = refused(
        capsys,
        *("sweep", "dropout", "--trails", "9", "--hours", "soon", "--slots", "x", "--lang", "de"),
        *("--set", "lr", "--storage", "sqlite:///x", "--as-new=yes", "--name", "lr", "--port=1"),
    )
    assert sorted(line.split()[0].split("=")[0].rstrip(":") for line in lines) == [
        *("--as-new", "--hours", "--lang", "--name", "--set", "--slots", "--storage"),
        *("There", "There"),
    ]
    assert "There is no option --trails. Did you mean --trials?" in lines
    assert "--name lr contradicts the argument dropout. Use one of them." in lines


def test_all_wrong_variables_are_reported_together(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable, text in {"TOP": "x", "SEEDS": "y", "STORAGE": "z", "NAME": "../a"}.items():
        monkeypatch.setenv(f"{PREFIX}{variable}", text)
    lines = refused(capsys, "confirm")
    assert len(lines) == 4
    assert "TOP='x' is not a whole number." in lines
    assert "SEEDS='y' is not a whole number." in lines
    assert any(line.startswith("NAME='../a' is not a valid study name.") for line in lines)
    assert any(line.startswith("STORAGE: it is not a URL.") for line in lines)


def test_a_missing_name_is_reported_with_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    lines = refused(capsys, "confirm", "--top", "x")
    assert lines == [
        "--top 'x' is not a whole number.",
        "NAME is missing. Use the name of a study, such as dropout.",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["swep"], "No such command 'swep'. Did you mean 'sweep', 'sweeps'?"),
        (["--verbose"], "No such option: --verbose"),
        (["report", "--name"], "--name needs a value."),
        (["report", "-n", "lr"], "There is no option -n. trytable report --help lists them."),
        (["report", "a", "b"], "'b': too many arguments. Quote a value with spaces."),
        (["show", "a", "1", "--try", "2"], "--try 2 contradicts the argument 1. Use one of them."),
        (["show", "a", "x"], "TRY 'x' is not a whole number."),
        (["show", "a", "1" * 5000], "TRY has 5000 digits, which is too large."),
        (["dashboard", "--port", "0"], "--port 0 is not a port. Use 1 to 65535."),
        (
            ["sweep", "lr", "--retry-failed=no"],
            "--retry-failed=no is not valid. Use --retry-failed",
        ),
    ],
)
def test_a_message_is_one_paragraph_without_a_manual(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = refused(capsys, *words)
    assert line.startswith(message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweep", "x", "--trials", "0"], "--set or --trials: trials: 0 is not allowed."),
        (["sweep"], "No sweep was named. Name one, such as dropout."),
        (["sweep", "x", "--slots", "0"], "--slots 0: there must be at least one slot."),
        (["sweep", "x", "--engine", "spark"], "--engine 'spark' is not an engine."),
        (["sweep", "x@confirm"], "x@confirm confirms another study. Use trytable confirm x to"),
        (["best", "x"], "--out is missing. Use a new folder for the model, such as --out my/f"),
        (["best", "x", "--out", "sweeps"], "--out sweeps is not empty."),
        (["import", "x"], "--log is missing. Use the file to import, such as --log train.log."),
        (["import", "x", "--log", "none"], "--log "),
        (["move-storage"], "FROM is missing. Use runs, a folder with studies.db; sqlite:///runs"),
        (["lr-range", "x", "--steps", "5"], "--steps 5 shows no slope. Use at least 20."),
    ],
)
def test_a_command_names_the_option_too(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = "" if words[0] == "lr-range" else "trainer: scripted\n"
    knob = "dropout: [0.1]" if words[0] == "lr-range" else "value: [0.1]"
    write_sweep(tmp_path, f"{trainer}parameters: {{{knob}}}", "x")
    lines = refused(capsys, *words)
    assert any(line.startswith(message) for line in lines), lines


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize(
    ("words", "value"),
    [
        ([], False),
        (["--as-new"], True),
        (["--as-new", "1"], True),
        (["--as-new=1"], True),
        (["--no-as-new"], False),
        (["--as-new", "0"], False),
        (["--as-new=0"], False),
        (["--as-new", ""], False),
        (["--as-new="], False),
    ],
)
def test_a_switch_is_a_flag_and_takes_0_and_1_as_well(
    words: list[str], value: bool, place: str
) -> None:
    words = ["lr", *words] if place == "before" else [*words, "lr"]
    values = parsed("sweep", *words)
    assert (values["as_new"], values["name"]) == (value, "lr")


def test_a_flag_beats_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}RETRY_FAILED", "0")
    assert parsed("sweep")["retry_failed"] is False
    assert parsed("sweep", "--retry-failed")["retry_failed"] is True
    assert parsed("sweep", "--retry-failed", "")["retry_failed"] is False
    assert parsed("sweep", "--", "--as-new")["name"] == "--as-new"


NAMED = [verb for verb in VERBS if any(p.name == "name" for p in VERBS[verb].params)]


def test_every_verb_of_a_sweep_or_a_study_takes_its_name() -> None:
    assert set(VERBS) - set(NAMED) == {"sweeps", "backup", "dashboard"}


@pytest.mark.parametrize("verb", [verb for verb in NAMED if verb != "move-storage"])
def test_a_name_is_an_argument_or_an_option(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parsed(verb, "lr")["name"] == "lr"
    assert parsed(verb, "--name", "lr")["name"] == "lr"
    assert parsed(verb, "--name=lr", "lr")["name"] == "lr"
    monkeypatch.setenv(f"{PREFIX}NAME", "other")
    assert parsed(verb)["name"] == "other"
    assert parsed(verb, "lr")["name"] == "lr"
    assert parsed(verb, "--name", "lr")["name"] == "lr"


@pytest.mark.parametrize("verb", ["show", "rerun"])
def test_the_number_of_a_try_is_an_argument_or_an_option(verb: str) -> None:
    assert parsed(verb, "lr", "3")["number"] == 3
    assert parsed(verb, "lr", "--try", "3")["number"] == 3


def test_the_makefile_has_the_same_variables() -> None:
    text = (TOP / "Makefile").read_text()
    block = re.search(r"^VARS := ((?:.*\\\n)*.*)$", text, re.MULTILINE)
    assert block
    variables = set(block[1].replace("\\\n", " ").split()) - {"PYTHON", "DEVICE"}  # make's own
    assert variables == {variable_of(param.values[1]) for param in PARAMS}
    assert variables == VALUES.keys()


def quoted_commands() -> list[str]:
    """The `trytable ...` lines in the code blocks of README and docs."""
    files = [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]
    blocks = [block for file in files for block in file.read_text().split("```")[1::2]]
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("trytable ")]


@pytest.mark.parametrize("line", quoted_commands())
def test_the_docs_quote_valid_commands(line: str) -> None:
    verb, *words = shlex.split(line, comments=True)[1:]
    if verb.startswith("--"):
        assert verb in [name for param in GROUP.params for name in param.opts]
    else:
        parsed(verb, *words)


def test_the_docs_quote_commands() -> None:
    assert len(quoted_commands()) >= 3


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_the_help_text_fits_a_terminal(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([*([verb] if verb else []), "--help"])
    printed = capsys.readouterr().out
    assert end.value.code == 0
    assert max(map(len, printed.splitlines())) <= 100
    assert ("TRYTABLE_RUNS=FOLDER" in printed) == (verb not in ("", "sweeps"))
    command = VERBS[verb] if verb else GROUP
    for param in command.params:
        is_argument = isinstance(param, TyperArgument)
        assert str(param.metavar if is_argument else param.opts[0]) in printed
    if not verb:
        for name, command in VERBS.items():
            first = str(command.help).splitlines()[0]
            assert re.search(rf"│ {name} +{re.escape(first)} +│", printed), name


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    assert re.fullmatch(r"trytable \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_no_verb_prints_the_help_text(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([])
    assert end.value.code == 2
    assert "move-storage" in capsys.readouterr().out


def test_a_command_line_leaves_no_spelling_behind(capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, "sweep", "none")
    assert spelling.setting("TRIALS", 3) == "TRIALS=3"


HEAVY = (
    "optuna", "sqlalchemy", "plotly", "pandas", "matplotlib", "numpy", "scipy", "torch", "ray",
    "transformers", "jinja2",
)  # fmt: skip


@pytest.mark.parametrize(
    "words", [["sweeps"], ["--help"], ["sweep", "--help"], ["confirm", "--best", "3"], ["swep"]]
)
def test_a_light_verb_imports_nothing_heavy(words: list[str]) -> None:
    program = f"""
import sys
from trytable.orchestrator import cli
try:
    cli.main({words})
finally:
    print("heavy:", [name for name in {HEAVY} if name in sys.modules])
"""
    printed = subprocess.run(
        [sys.executable, "-c", program], cwd=TOP, capture_output=True, text=True, check=False
    ).stdout
    assert printed.splitlines()[-1] == "heavy: []"
