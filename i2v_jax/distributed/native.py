"""Calls a Python function where jaxlib would abort with a stack dump because another process of the job is gone.

A client of `jax.distributed` takes a `missed_heartbeat_callback` for this, which `jax.distributed.initialize` does not
pass on. jaxlib calls it with a status that it cannot convert to Python: a C++ exception, std::bad_cast, in a thread of
its own, after which the C++ runtime calls what `std::set_terminate` was given.
"""

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from typing import Any

_kept: list[Any] = []  # C++ holds pointers to these, until the process ends


@contextlib.contextmanager
def reporting(lost: Callable[[], None]) -> Iterator[None]:
    """A client of `jax.distributed` that is made in this context calls `lost`, in another thread, in place of aborting.

    It aborts as before where the C++ runtime is another than GNU's.
    """
    from jax._src import distributed
    from jax._src.lib import utils

    library = getattr(distributed, "_jax", None)
    if library is None or not _call_at_bad_cast(lost):
        yield
        return
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":  # which is what jax sets
        utils.absl_set_min_log_level(3)  # otherwise the service logs the same event, in its words
    make = library.get_distributed_runtime_client

    def make_client(*arguments: Any, **options: Any) -> Any:
        return make(*arguments, **options, missed_heartbeat_callback=lambda *status: lost())

    library.get_distributed_runtime_client = make_client
    try:
        yield
    finally:
        library.get_distributed_runtime_client = make


def _call_at_bad_cast(function: Callable[[], None]) -> bool:
    """Calls `function` when a std::bad_cast that nobody catches ends the process. Returns whether it can."""
    try:
        runtime = ctypes.CDLL("libstdc++.so.6")
    except OSError:
        return False
    handler_type = ctypes.CFUNCTYPE(None)
    current_type, set_terminate = runtime.__cxa_current_exception_type, runtime._ZSt13set_terminatePFvvE
    current_type.restype = set_terminate.restype = ctypes.c_void_p

    @handler_type
    def handler() -> None:
        # A std::type_info is a pointer to its methods and one to its name.
        if (found := current_type()) and ctypes.c_char_p.from_address(found + 8).value == b"St8bad_cast":
            function()
        if previous:
            handler_type(previous)()  # it aborts

    _kept.append(handler)
    previous = set_terminate(handler)
    return True
