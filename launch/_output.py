"""Standard output whose reader may leave before the end, as `head` does after its lines, or whose disk may be full."""

import atexit
import contextlib
import errno
import os
import select
import signal
import sys
from collections.abc import Iterator

READER_LEFT = 128 + signal.SIGPIPE  # the exit status by which a shell reports the end of other programs


@contextlib.contextmanager
def written() -> Iterator[None]:
    """Ends the program, as `failure` says, where what it prints cannot be written.

    SIGPIPE, which ends other programs, is not for this: a training or a server outlives a connection that breaks.
    """
    atexit.register(_flush)  # at its own end, Python would complain of what it cannot write
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:  # it was closed from the beginning
                sys.stdout.flush()
    except OSError as error:
        failed = failure(error)
        if failed is None:
            raise  # it was a connection or another file
        status, message = failed
        if message:
            print(message, file=sys.stderr)
        sys.exit(status)


def failure(error: OSError) -> tuple[int, str] | None:
    """Returns an exit status and a message if `error` is that what was printed cannot be written.

    The message is empty if the reader left: nobody misses what is not written.
    """
    match _flush("\n" if error.errno == errno.ENOSPC else ""):
        case None:
            return None
        case BrokenPipeError():
            return READER_LEFT, ""
        case failed:
            return 2, f"error: cannot write what is printed: {failed.strerror}"


def _flush(more: str = "") -> OSError | None:
    """Writes what was printed, and returns why it cannot; what cannot be written is discarded from now on."""
    if sys.stdout is None:
        return None
    failed: OSError | None = None
    try:
        sys.stdout.write(more)
        sys.stdout.flush()
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)  # no event but an error
        if poll.poll(0):
            failed = BrokenPipeError()
    except OSError as error:
        failed = error
    if failed is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    return failed
