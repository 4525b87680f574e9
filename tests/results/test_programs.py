"""A missing program is skipped here, and a failure under CI."""

import pytest

from tests.results.programs import needs


def test_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert needs("sh").endswith("/sh")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        needs("no-such-program")
    for value in ("1", "true"):
        monkeypatch.setenv("CI", value)
        with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed"):
            needs("no-such-program")
