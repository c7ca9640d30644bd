"""What the processes of a job do together: agree, wait for each other, and end.

All processes run the same program. What only one of them should find out, such as the state of a folder, process 0
tells the others (`agree`), so that all go the same way. A process that fails says so, and the others end soon after;
one that is gone without a word is missed after `HEARTBEAT` seconds.
"""

import atexit
import contextlib
import itertools
import json
import math
import multiprocessing
import os
import re
import socket
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from i2v_jax.distributed.channel import Channel, ChannelError, connection
from i2v_jax.errors import UserError

T = TypeVar("T")

HEARTBEAT = 20  # seconds without a sign of life after which a process counts as gone
_GRACE = 10  # seconds that a process has to end by itself after another one has failed
_NAME = "processes"  # of the channel that this file uses
_FAILED = "failed"  # key under which the first process that fails says why

_STATUS = re.compile(r"[A-Z_]+: ")

_numbers = itertools.count()  # of agreements and barriers: the same on all processes, since all go the same way
_watching, _leaving = threading.Event(), threading.Event()
_threads: list[threading.Thread] = []  # the one that watches
_told: list[dict[str, Any]] = []  # what another process said when it failed


def summary(mesh: Mesh) -> str:
    """Returns "32 devices: 4 processes x 8 NVIDIA H100, replica=4 data=8 fsdp=1".

    Raises:
      UserError: the processes have different numbers of devices.
    """
    devices = jax.devices()
    each = Counter(device.process_index for device in devices)
    if len(set(each.values())) > 1:
        counts = ", ".join(f"{count} in process {index}" for index, count in sorted(each.items()))
        raise UserError(f"the processes have different numbers of devices ({counts}): give each the same", "devices")
    processes = f"{len(each)} process{'es' * (len(each) > 1)} x {len(devices) // len(each)} {devices[0].device_kind}"
    axes = " ".join(f"{name}={size}" for name, size in mesh.shape.items())
    return f"{len(devices)} device{'s' * (len(devices) > 1)}: {processes}, {axes}"


def connect(mesh: Mesh) -> None:
    """Connects every group of devices that shares an axis, or several, of a mesh, while all processes are here.

    A group connects at its first operation. On CPUs a process gives up there after 30 seconds without its peers, and in
    a training one process may compile that much longer than another.
    """
    if connection().num_processes == 1 or jax.default_backend() != "cpu":
        return
    wait_for_all()
    multihost_utils.sync_global_devices("connected")
    replicated = NamedSharding(mesh, PartitionSpec())
    axes = [axis for axis, size in mesh.shape.items() if size > 1]
    for count in range(1, len(axes) + 1):
        for group in itertools.combinations(axes, count):
            size = math.prod(mesh.shape[axis] for axis in group)
            over_group = NamedSharding(mesh, PartitionSpec(group))
            ones = jax.make_array_from_callback((size,), over_group, np.ones(size, np.float32).__getitem__)
            jax.block_until_ready(jax.jit(jnp.sum, out_shardings=replicated)(ones))


def agree(find_out: Callable[[], T]) -> T:
    """Returns on all processes what `find_out` returns on process 0, the only one that calls it.

    Args:
      find_out: returns something that JSON can hold. If it raises a UserError, all processes do.
    """
    if connection().num_processes == 1:
        return find_out()
    channel, key = Channel(_NAME), f"agreed/{next(_numbers)}"
    if channel.index == 0:
        try:
            said = json.dumps({"value": find_out()})
        except UserError as error:
            said = json.dumps({"error": [str(error), error.field, error.value]}, default=str)
        channel.post(key, said)
    found = json.loads(channel.wait_for(key))
    if "error" in found:
        raise UserError(*found["error"])
    return cast(T, found["value"])


def wait_for_all() -> None:
    """Waits until all processes are here, however long it takes."""
    if connection().num_processes > 1:
        Channel(_NAME).meet(f"barrier/{next(_numbers)}")


def end(status: int, message: str) -> NoReturn:
    """Ends this process and all others because of an error, with `status`; prints `message`, if any, on stderr.

    If process 0 has the same error, it alone prints it.
    """
    if connection().num_processes == 1:
        if message:
            print(message, file=sys.stderr)
        sys.exit(status)
    channel = Channel(_NAME)
    index, first = channel.index, _failure(channel)
    deadline = time.monotonic() + 2
    while first is None and index > 0 and time.monotonic() < deadline:  # process 0 may have the same error
        time.sleep(0.1)
        first = _failure(channel)
    if first is None:
        claim = {"process": index, "host": socket.gethostname(), "status": status, "message": message}
        with contextlib.suppress(ChannelError):  # process 0, which has the store, is gone
            channel.post_first(_FAILED, json.dumps(claim))
    if first is None or first["message"] != message:
        print(message if index == 0 else f"process {index}: {message}", file=sys.stderr)
    if index == 0:
        time.sleep(2)  # the others ask this process what has happened
    leave_at_once(status)


def leave(status: Any) -> None:
    """Ends several processes that are done, with the `code` of a SystemExit. A single process only returns.

    It skips Python's own shutdown, during which a process was seen to crash after its work was saved.
    """
    if not _threads:
        return
    _stop()
    jax.distributed.shutdown()
    leave_at_once(status if isinstance(status, int) else int(status is not None))


def end_after(error: Exception) -> None:
    """Ends several processes, with status 1, because of an error in the program of this one. Prints its traceback.

    If the error is but the effect of another process's end, that is what is printed. A single process only returns.
    """
    if connection().num_processes == 1:
        return
    causes: list[BaseException] = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    # XLA's errors are JaxRuntimeErrors, or ValueErrors with the name of a status, as "UNKNOWN: Gloo AllReduce failed".
    if any(isinstance(cause, jax.errors.JaxRuntimeError) or _STATUS.match(str(cause)) for cause in causes):
        time.sleep(HEARTBEAT + _GRACE)  # if another process has failed or is gone, this one ends here
    traceback.print_exception(error)
    end(1, f"{type(error).__name__}: {error}")


def disconnect() -> None:
    """Takes this process for the only one, after it could not join the others."""
    joined = connection()
    joined.client = joined.service = None
    joined.process_id, joined.num_processes = 0, 1


def watch() -> None:
    """Ends this process soon after another one says that it failed, from now on."""
    if connection().num_processes > 1:
        _threads.append(threading.Thread(target=_watch, daemon=True))
        _threads[0].start()
        atexit.register(_stop)  # which runs before jax ends the connection


def lost() -> None:
    """Ends this process, in place of jaxlib, because another one is gone."""
    if not _watching.is_set():
        return  # it is the connection that failed
    if not _leaving.is_set() and not _told:
        print(
            f"process {connection().process_id}: another process of this job is gone (killed, out of memory, or its "
            "machine or network is down): stopping; the same command continues",
            file=sys.stderr,
        )
    leave_at_once(_told[0]["status"] if _told else 1)


def _failure(channel: Channel) -> dict[str, Any] | None:
    """Returns what the first process that failed said, None if none did."""
    try:
        said = channel.read(_FAILED)
    except ChannelError:
        return None
    return json.loads(said) if said else None


def _watch() -> None:
    channel = Channel(_NAME)
    _watching.set()
    while not _leaving.wait(1):
        failure = _failure(channel)
        if failure and failure["process"] != channel.index:
            _told.append(failure)
            if not _leaving.wait(_GRACE):
                if channel.index == 0:
                    print(f"process {failure['process']} on {failure['host']}: {failure['message']}", file=sys.stderr)
                leave_at_once(failure["status"])


def _stop() -> None:
    _leaving.set()
    for thread in _threads:
        thread.join()


def kill_readers() -> None:
    """Ends the processes that read data, also one that hangs or is stopped."""
    for child in multiprocessing.active_children():
        child.kill()


def leave_at_once(status: int) -> NoReturn:
    """Ends this process without waiting for others, or for its threads, as an ordinary exit would."""
    kill_readers()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):  # its reader has left
            stream.flush()
    os._exit(status)
