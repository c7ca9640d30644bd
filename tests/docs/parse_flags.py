"""Parses the flags of several commands of one entry point: python -m tests.docs.parse_flags launch.train

Reads their arguments as JSON, [[argument, ...], ...], from standard input. Prints a JSON list with an error message for
each, "" if its flags parse and its configuration resolves.
"""

import json
import os
import runpy
import sys
from collections.abc import Collection
from unittest import mock

from absl import flags

from i2v_jax import config_files, files
from i2v_jax.launch import _app


def parse(arguments: list[str], buckets: Collection[str]) -> str:
    """Runs in its own process, because flags keep their values."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _app._parse_flags(["command", *arguments], takes_positional=True, buckets=buckets)
            if "config." in flags.FLAGS:
                config_files.load(flags.FLAGS["config"].value, flags.FLAGS["config."].value)
        except BaseException as error:
            os.write(write, f"{type(error).__name__}: {error}".encode()[:60_000])
        os._exit(0)
    os.close(write)
    with open(read) as file:
        message = file.read()
    os.waitpid(child, 0)
    return message


if __name__ == "__main__":
    with mock.patch.object(_app, "run") as run, mock.patch.object(files, "require_bucket"):
        runpy.run_module(f"i2v_jax.{sys.argv[1]}", run_name="__main__")
        buckets = run.call_args.kwargs.get("buckets", ())
        print(json.dumps([parse(arguments, buckets) for arguments in json.load(sys.stdin)]))
