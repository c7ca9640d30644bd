"""Progress without a terminal is a line now and then, with the time left."""

import sys

import pytest

from i2v_jax import logs


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Returns the time in seconds, which the test sets."""
    now = [0.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: now[0])
    return now


def test_a_line_every_half_a_minute(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with logs.progress(total=200, initial=50, desc="preparing", unit="video", smoothing=0.1) as bar:
        for _ in range(150):
            clock[0] += 1
            bar.set_postfix_str(f"loss={bar.n}", refresh=False)
            bar.update()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert lines[0] == "preparing: 80 of 200 videos, 02:00 left, loss=79"


@pytest.mark.parametrize("options", [{"disable": True}, {"leave": False}])
def test_nothing_is_written_of_what_is_short_or_disabled(
    clock: list[float], capsys: pytest.CaptureFixture[str], options: dict[str, bool]
) -> None:
    seconds = 100 if "disable" in options else 2
    for _ in logs.progress(range(10), unit="clip", **options):
        clock[0] += seconds
    assert capsys.readouterr().err == ""


def test_the_number_may_be_unknown(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    for _ in logs.progress(iter("ab"), unit="clip"):
        clock[0] += 60
    assert capsys.readouterr().err.splitlines() == ["1 clips in 01:00", "2 clips in 02:00"]


def test_a_terminal_has_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(logs.progress(total=1), logs.Lines)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert not isinstance(logs.progress(total=1, disable=True), logs.Lines)
