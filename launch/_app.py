"""What every entry point shares: platform set-up, and user errors printed as one line."""

import sys
from collections.abc import Callable, Sequence

from absl import app, logging

from i2v_jax.distributed import runtime
from i2v_jax.errors import UserError


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Runs an absl `main`. A UserError becomes one line on standard error and exit status 2; Ctrl-C exits 130."""

    def checked(argv: Sequence[str]) -> None:
        if len(argv) > 1:
            raise app.UsageError(f"unexpected arguments {list(argv[1:])}: options are given as --name=value")
        main(argv)

    logging.set_verbosity(logging.WARNING)
    runtime.configure_platform()
    try:
        app.run(checked)
    except UserError as error:  # also those of config files, which are read while flags are parsed
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
