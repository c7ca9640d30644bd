"""Commands whose reader leaves before the end, as `head` does after its lines, or whose output has a full disk."""

import contextlib
import errno
import os
import subprocess
import sys

import pytest

from i2v_jax.launch import _output
from tests.launch.synthesis import ROOT

commands = pytest.mark.parametrize(
    ("arguments", "unbuffered"),
    [
        ("launch --help", ""),
        ("launch.train --help", ""),
        ("launch.info bundled:sky", ""),  # what it prints is written at its end
        ("launch info bundled:sky", "1"),  # and here, line by line
    ],
)


@commands
def test_a_command_ends_without_a_word(arguments, unbuffered):
    command = [sys.executable, "-m", *arguments.split()]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == _output.READER_LEFT


@commands
def test_a_full_disk_is_one_line(arguments, unbuffered):
    command = [sys.executable, "-m", *arguments.split()]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ended.stderr == "error: cannot write what is printed: No space left on device\n"
    assert ended.returncode == 2


@contextlib.contextmanager
def read_by_a_pipe(monkeypatch):
    """Yields the end from which standard output can be read."""
    reading, writing = os.pipe()
    with open(reading, "rb") as end, open(writing, "w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        yield end


@pytest.mark.parametrize("size", [1, 100_000])  # of which print writes the second one at once, as a buffer is smaller
def test_what_nobody_reads_is_discarded(monkeypatch, size):
    with read_by_a_pipe(monkeypatch) as end:
        end.close()
        with pytest.raises(SystemExit) as ended, _output.written():
            print("x" * size, flush=True)
        assert ended.value.code == _output.READER_LEFT
        print("x" * size, flush=True)


def test_another_file_s_full_disk_is_an_error(monkeypatch):
    class OtherFileError(OSError):
        pass

    with read_by_a_pipe(monkeypatch), pytest.raises(OtherFileError), _output.written():
        raise OtherFileError(errno.ENOSPC, "No space left on device")


def test_a_connection_that_breaks_is_an_error(monkeypatch):
    @_output.written()
    def sends():
        print("before")
        raise BrokenPipeError

    with read_by_a_pipe(monkeypatch) as end:
        with pytest.raises(BrokenPipeError):
            sends()
        assert end.readline() == b"before\n"
