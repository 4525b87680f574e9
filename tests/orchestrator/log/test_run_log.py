"""A run's log: what it collects, what it keeps from the terminal, and what it leaves behind."""

import logging
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa

from tests.orchestrator.log.reading import records
from trytable.orchestrator.errors import UnexpectedError, UserError
from trytable.orchestrator.log.run_log import LEVELS, RunLog, logged_errors, set_log_level

LOGGER = logging.getLogger("trytable.orchestrator.somewhere")


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    """Leave the level as it was."""
    package = logging.getLogger("trytable")
    before = package.level
    yield
    package.setLevel(before)


def state() -> tuple[object, ...]:
    library = logging.getLogger("optuna")
    handlers = (logging.getLogger().handlers, library.handlers)
    return (*map(tuple, handlers), library.propagate, warnings.showwarning)


def end_a_run(path: Path, error: Exception) -> None:
    """Run something that logs to a file and ends with an error."""
    with RunLog(pytest.fail) as log:
        log.attach(path)
        with logged_errors(log):
            raise error


def end_early(error: Exception, path: Path | None = None) -> None:
    """Let a run end with an error before its log has a file."""
    with RunLog(pytest.fail) as log:
        attach = partial(log.attach, path) if path else lambda: None
        with logged_errors(log, attach):
            raise error


def test_records_from_before_the_folder_is_known_are_not_lost(tmp_path: Path) -> None:
    with RunLog(pytest.fail) as log:
        LOGGER.info("early")
        log.attach(tmp_path / "orchestrator.log")
        LOGGER.info("late")
    LOGGER.warning("afterwards")
    found = records(tmp_path / "orchestrator.log")
    assert found == [("INFO", "early"), ("INFO", "late")]


def test_a_run_that_gets_no_folder_writes_nothing(tmp_path: Path) -> None:
    with RunLog(pytest.fail):
        LOGGER.error("nobody reads this")
    assert list(tmp_path.iterdir()) == []


def test_warnings_of_libraries_go_to_the_log_and_not_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        before = state()
        with RunLog(pytest.fail) as log:
            log.attach(tmp_path / "orchestrator.log")
            optuna.logging.get_logger("optuna.study").warning("of Optuna's logger")
            logging.getLogger("sqlalchemy.pool").error("of SQLAlchemy's logger")
            warnings.warn("of Python", UserWarning, stacklevel=1)
            warnings.warn("of SQLAlchemy", sa.exc.SAWarning, stacklevel=1)
        assert state() == before
    text = "\n".join(message for _, message in records(tmp_path / "orchestrator.log"))
    for part in ("of Optuna's logger", "of SQLAlchemy's logger", "of Python", "of SQLAlchemy"):
        assert part in text
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_information_of_libraries_stays_out(tmp_path: Path) -> None:
    with RunLog(pytest.fail) as log:
        log.attach(tmp_path / "orchestrator.log")
        logging.getLogger("sqlalchemy.engine").info("SELECT 1")
        optuna.logging.get_logger("optuna.study").debug("chatter")
        LOGGER.debug("detail")
    assert not (tmp_path / "orchestrator.log").exists()


@pytest.mark.parametrize("name", ["", *LEVELS, "DEBUG"])
def test_a_level_decides_what_is_written(name: str, tmp_path: Path) -> None:
    set_log_level(name)
    levels = [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL]
    with RunLog(pytest.fail) as log:
        log.attach(tmp_path / "orchestrator.log")
        for number in levels:
            LOGGER.log(number, "x")
    found = [level for level, _ in records(tmp_path / "orchestrator.log")]
    names = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
    assert found == names[names.index((name or "info").upper()) :]


@pytest.mark.parametrize("name", ["loud", "10", "info ", "$(x)"])
def test_a_wrong_level_is_refused_in_words(name: str) -> None:
    with pytest.raises(UserError, match="Use debug, info, warning, error"):
        set_log_level(name)


def test_an_unexpected_error_is_one_line_that_names_the_log(tmp_path: Path) -> None:
    path = tmp_path / "orchestrator.log"
    with pytest.raises(UnexpectedError) as caught:
        end_a_run(path, ZeroDivisionError("by\nnothing"))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    ((level, message),) = records(path)
    assert level == "CRITICAL"
    assert "in end_a_run" in message
    assert "ZeroDivisionError: by" in message


def test_an_error_before_there_is_a_folder_attaches_the_log(tmp_path: Path) -> None:
    path = tmp_path / "orchestrator.log"
    with pytest.raises(UnexpectedError):
        end_early(ZeroDivisionError(), path)
    assert "ZeroDivisionError" in records(path)[-1][1]
    with pytest.raises(ZeroDivisionError):  # no log: the traceback must not be lost
        end_early(ZeroDivisionError())


@pytest.mark.parametrize(
    ("error", "quoted"),
    [(UserError("label 'a sentence' is unknown"), False), (OSError(28, "No space left"), True)],
)
def test_an_error_with_a_message_for_the_user_is_raised_as_it_is(
    error: Exception, quoted: bool, tmp_path: Path
) -> None:
    path = tmp_path / "orchestrator.log"
    with pytest.raises(type(error)) as caught:
        end_a_run(path, error)
    assert caught.value is error
    ((level, message),) = records(path)
    assert level == "ERROR"
    assert (str(error) in message) == quoted


def test_the_cause_of_an_error_is_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "orchestrator.log"
    error = UserError("The study database cannot be used.")
    error.__cause__ = sa.exc.OperationalError("SELECT 1", None, OSError("disk I/O error"))
    with pytest.raises(UserError):
        end_a_run(path, error)
    assert "disk I/O error" in records(path)[-1][1]


def test_a_library_that_imports_trytable_sees_no_log(capfd: pytest.CaptureFixture[str]) -> None:
    LOGGER.error("without a handler, Python would print this")
    assert capfd.readouterr().err == ""
