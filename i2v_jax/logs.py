"""The package's logger. `logger.info` writes a message; entry points call `show` to print messages."""

import logging
import sys

import tqdm

logger = logging.getLogger("i2v_jax")


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
