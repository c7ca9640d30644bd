"""Parses the flags of several commands of one entry point: python -m tests.docs.parse_flags launch.train

Reads their arguments as JSON, [[argument, ...], ...], from standard input. Prints a JSON list with an error message for
each, "" if its flags parse and its configuration resolves.
"""

import importlib
import json
import os
import sys

from absl import flags


def parse(arguments: list[str]) -> str:
    """In a process of its own, because flags keep their values."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            sys.argv = ["command", *arguments]  # where overrides of a configuration are read from
            flags.FLAGS(sys.argv)
            if "config" in flags.FLAGS and flags.FLAGS["config"].flag_type() != "string":
                flags.FLAGS["config"].value.to_dict()
        except BaseException as error:
            os.write(write, f"{type(error).__name__}: {error}".encode()[:60_000])
        os._exit(0)
    os.close(write)
    with open(read) as file:
        message = file.read()
    os.waitpid(child, 0)
    return message


if __name__ == "__main__":
    importlib.import_module(f"i2v_jax.{sys.argv[1]}")
    print(json.dumps([parse(arguments) for arguments in json.load(sys.stdin)]))
