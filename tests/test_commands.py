"""Commands in messages can be pasted into the shell that the program was started from."""

import sys

import pytest

from i2v_jax.commands import as_typed, command


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with an environment in it that is not on the PATH."""
    programs = tmp_path / "here" / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "i2v"):
        (programs / name).touch(mode=0o755)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    return tmp_path / "here"


def test_a_checkout(here, monkeypatch, tmp_path):
    expected = "-m launch.serve '--workdir=runs/my demo'"
    assert command("serve", "--workdir=runs/my demo") == f".venv/bin/python {expected}"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert command("serve", "--workdir=runs/my demo") == f"{here}/.venv/bin/python {expected}"
    monkeypatch.setenv("PATH", f"{here}/.venv/bin")
    assert command("serve", "--workdir=runs/my demo") == f"python {expected}"
    assert as_typed("python -m launch.serve --workdir=RUN") == "python -m launch.serve --workdir=RUN"


def test_started_as_i2v(here, monkeypatch):
    monkeypatch.setattr(sys, "argv", [f"{here}/.venv/bin/i2v", "train"])
    assert command("serve", "--port=0") == ".venv/bin/i2v serve --port=0"
    monkeypatch.setenv("PATH", f"{here}/.venv/bin")
    assert command("serve", "--port=0") == "i2v serve --port=0"
    assert as_typed("python -m launch.serve --workdir=RUN") == "i2v serve --workdir=RUN"
