"""The package's logger and its progress bars.

`logger.info` writes a message; entry points call `show` to print messages. `progress` shows how far a loop is.
"""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any, Self, cast

import tqdm

logger = logging.getLogger("i2v_jax")
_SECONDS_BETWEEN_LINES = 30


class _AboveProgressBars(logging.Handler):
    """Prints messages above the progress bars: errors on stderr, all others on stdout."""

    def emit(self, record: logging.LogRecord) -> None:
        stream = sys.stderr if record.levelno >= logging.ERROR else sys.stdout
        tqdm.tqdm.write(self.format(record), stream)
        stream.flush()  # a pipe would keep it until the process ends, or lose it


def show() -> None:
    """Prints the messages of the package from now on, and keeps them from the root logger."""
    logger.setLevel(logging.INFO)
    logger.propagate = False
    if not any(isinstance(handler, _AboveProgressBars) for handler in logger.handlers):
        logger.addHandler(_AboveProgressBars())


class Lines:
    """Progress as a line now and then, for where there is no terminal: a log would keep every state of a bar.

    It has the arguments, methods and attributes of `tqdm.tqdm` that the package uses.
    """

    def __init__(
        self,
        iterable: Iterable[Any] = (),
        *,
        total: int | None = None,
        initial: int = 0,
        desc: str = "",
        unit: str = "it",
        disable: bool = False,
        **appearance: Any,
    ) -> None:
        del appearance
        self.n, self.initial = initial, initial
        self._iterable, self._disabled = iterable, disable
        self._total = len(iterable) if total is None and isinstance(iterable, Sized) and len(iterable) else total
        self._words, self._unit, self._postfix = f"{desc}: " * bool(desc), unit, ""
        self._start = self._written = time.monotonic()

    def update(self, count: int = 1) -> None:
        """Counts what is done, and writes a line if the last one is half a minute ago."""
        self.n += count
        if not self._disabled and time.monotonic() - self._written >= _SECONDS_BETWEEN_LINES:
            self._written = time.monotonic()
            print(self, file=sys.stderr, flush=True)

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        """Sets what ends a line."""
        del refresh
        self._postfix = text

    def __str__(self) -> str:
        interval, elapsed = tqdm.tqdm.format_interval, time.monotonic() - self._start
        words = f"{self._words}{self.n:,} {self._unit}s in {interval(elapsed)}"
        if self._total is not None and self.n > self.initial:
            left = (self._total - self.n) * elapsed / (self.n - self.initial)
            words = f"{self._words}{self.n:,} of {self._total:,} {self._unit}s, {interval(left)} left"
        return f"{words}, {self._postfix}" if self._postfix else words

    def __iter__(self) -> Iterator[Any]:
        for element in self._iterable:
            yield element
            self.update()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Does nothing: what comes next says that it ended."""


def progress(*arguments: Any, **options: Any) -> Lines:
    """Returns a progress bar on stderr with tqdm's arguments; where bars cannot move, a line every half a minute."""
    moves = sys.stderr.isatty() or "ipykernel" in sys.modules  # a terminal or a notebook
    return cast(Lines, (tqdm.tqdm if moves else Lines)(*arguments, **options))
