"""`python -m launch.tryout`: a page of videos, then the page to play with, until Ctrl-C."""

import pathlib
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from i2v_jax.configs import plants
from tests import compiling
from tests.compiling import HANG
from tests.launch.synthesis import ROOT
from tests.sampling.random_run import write_run


@pytest.mark.slow
def test_it_shows_a_model_and_serves_it_where_a_port_is_free(tmp_path: pathlib.Path) -> None:
    write_run(tmp_path / "run", plants.get_config("demo,runlocal"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = ["launch.tryout", f"--workdir={tmp_path / 'run'}", f"--out={tmp_path / 'try'}", f"--port={port}"]
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, env=compiling.environment(), stdout=subprocess.PIPE, text=True
        )
        try:
            lines = iter(process.stdout.readline, "")
            (address,) = re.findall(r"http://\S+", next(line for line in lines if line.startswith("serving ")))
            page = (tmp_path / "try" / "index.html").read_text()
            assert f'href="{address}/#model=run&amp;picture=' in page and not address.endswith(f":{port}")
            assert 'src="run/strength_0.mp4"' in page
            next(line for line in lines if line.startswith("ready"))
            assert urllib.request.urlopen(f"{address}/healthz", timeout=HANG).status == 200
            process.send_signal(signal.SIGINT)
            assert process.wait(HANG) == 0
        finally:
            process.kill()
            process.wait()
