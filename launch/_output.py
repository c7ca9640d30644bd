"""Standard output whose reader may leave before the end, as `head` does after its lines."""

import atexit
import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator

READER_LEFT = 128 + signal.SIGPIPE  # the exit status by which a shell reports the end of other programs


@contextlib.contextmanager
def read_by_somebody() -> Iterator[None]:
    """Ends the program without a word, with `READER_LEFT`, where it prints and nobody reads any longer.

    SIGPIPE, which ends other programs, is not for this: a training or a server outlives a connection that breaks.
    """
    atexit.register(_flush)  # at its own end, Python would complain of what it cannot write
    try:
        yield
    except BrokenPipeError:
        if _flush():
            raise  # it was a connection
        sys.exit(READER_LEFT)


def _flush() -> bool:
    """Writes what was printed, and returns whether somebody reads; what nobody reads is discarded from now on."""
    if sys.stdout is None:  # it was closed from the beginning
        return True
    try:
        sys.stdout.flush()
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)  # no event but an error
        read = not poll.poll(0)
    except BrokenPipeError:
        read = False
    if not read:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    return read
