"""A log line is one line of printable text, and it holds no password and no input."""

import logging
import time
from pathlib import Path

import pydantic
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from tests.orchestrator.log.reading import CONTINUATION, RECORD
from trytable.orchestrator.log.lines import LineFormatter, escape, redact, redact_argument
from trytable.results.storage.ledger import Ledger
from trytable.results.storage.rows import PredictionRow

DATA = "a sentence"
HOSTILE = (
    "two\nlines",
    "\r\n2026-01-01T00:00:00.000Z 1 INFO forged: yes",
    "\x1b[2J\x1b]0;owned\x07",
    "\u202egnp.txt",
    "\u2028separated\u2029",
    "\x85\x9b31m",
    "nul\x00",
    "\udcff no text",
    "%s %d {0} %(levelname)s",
    "back\\nslash",
)


def formatted(message: str, name: str = "trytable.x", error: BaseException | None = None) -> str:
    info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord(name, logging.INFO, "x.py", 1, "%s", (message,), info)
    return LineFormatter().format(record)


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except type(error) as caught:
        return caught


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_on_its_line(text: str) -> None:
    line = formatted(text, name=f"trytable.{text}")
    assert RECORD.fullmatch(line), line
    assert line.isprintable()


@given(st.text(st.characters(), max_size=200), st.text(st.characters(), max_size=50))
def test_any_text_is_one_record_of_printable_text(message: str, exception: str) -> None:
    first, *rest = formatted(message, error=raised(ValueError(exception))).split("\n")
    assert RECORD.fullmatch(first)
    assert rest
    assert all(CONTINUATION.fullmatch(line) for line in rest)
    assert all(line.isprintable() for line in [first, *rest])


@given(st.text(max_size=100), st.text(max_size=100))
def test_different_texts_stay_different(one: str, other: str) -> None:
    assert (escape(one) == escape(other)) == (one == other)


def test_times_are_utc_with_milliseconds_wherever_the_machine_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "m", (), None)
    record.created, record.msecs = 1_700_000_000.25, 250.0
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        assert LineFormatter().format(record).startswith("2023-11-14T22:13:20.250Z ")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_traceback_names_its_causes_first_and_every_place() -> None:
    def inner() -> None:
        raise KeyError("deep")

    try:
        try:
            inner()
        except KeyError as error:
            raise RuntimeError("outer") from error
    except RuntimeError as error:
        text = formatted("Failed", error=error)
    assert "in inner" in text
    order = [text.index(part) for part in ("KeyError", "which caused:", "RuntimeError: outer")]
    assert order == sorted(order)
    group = formatted("g", error=raised(ExceptionGroup("both", [ValueError("a"), OSError("b")])))
    assert "ValueError: a" in group
    assert "OSError: b" in group


def test_an_exception_that_causes_itself_ends() -> None:
    error, other = ValueError("x"), ValueError("y")
    error.__cause__, other.__cause__ = other, error
    assert formatted("m", error=error).count("ValueError") == 2


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:hunter2@host:5432/db",
        "postgresql+psycopg://me:hun/ter2@host/db?sslmode=require",
        "x --storage=postgresql://:hunter2@/db y",
        "postgresql://host/db?user=me&password=hunter2",
        "s3://key:hunter2@bucket/folder",
        "abfs://c/x?account_key=hunter2&secret=hunter2&sas_token=hunter2",
    ],
)
def test_passwords_in_urls_are_hidden(text: str) -> None:
    assert "ter2" not in redact(text)
    assert "ter2" not in formatted(text)
    assert "ter2" not in formatted("m", error=raised(RuntimeError(text)))
    assert "***" in redact(text)


def test_a_password_with_blanks_is_hidden_in_a_word_of_a_command() -> None:
    assert redact_argument("--storage=postgresql://me:a b:c/d@h/db") == (
        "--storage=postgresql://me:***@h/db"
    )


def test_other_text_stays_as_it_is() -> None:
    for text in ("lr=2e-5 key=value", "https://host:8080/a", "a@b: c", "freeze=*.weight"):
        assert redact(text) == text


def test_a_refused_input_is_not_quoted() -> None:
    class Model(pydantic.BaseModel):
        number: int

    with pytest.raises(pydantic.ValidationError) as caught:
        Model.model_validate({"number": DATA})
    text = formatted("m", error=caught.value)
    assert DATA not in text
    assert "number: Input should be a valid integer" in text


def test_a_failed_write_of_predictions_does_not_quote_them(tmp_path: Path) -> None:
    """SQLAlchemy's messages quote parameters unless it is told not to."""
    ledger = Ledger(f"sqlite:///{tmp_path / 'studies.db'}")  # without tables
    with pytest.raises(sa.exc.SQLAlchemyError) as caught:
        ledger.write(PredictionRow(DATA, "dev", []))
    ledger.close()
    text = formatted("m", error=caught.value)
    assert "no such table" in text
    assert DATA not in text


def test_a_very_long_message_is_cut() -> None:
    assert len(formatted("x" * 10**6)) < 5000
    assert len(formatted("m", error=raised(ValueError("y" * 10**6)))) < 10_000
