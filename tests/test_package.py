"""The package as `pip install .` leaves it: one top-level name, and the command `i2v` in a folder with other code."""

import os
import shutil
import subprocess
import sys

import pytest

from i2v_jax.launch.__main__ import COMMANDS
from tests import compiling
from tests.compiling import HANG
from tests.launch.synthesis import ROOT, last_line

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site_packages(tmp_path_factory):
    """A folder into which the wheel of this checkout was installed, without what it depends on."""
    source, installed = (tmp_path_factory.mktemp(name) for name in ("source", "installed"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("i2v_jax", "configs", "data", "launch"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", source / "dist", source]
    subprocess.run(build, check=True, timeout=HANG)
    (wheel,) = (source / "dist").iterdir()
    subprocess.run([*pip, "install", "--no-deps", "--target", installed, wheel], check=True, timeout=HANG)
    return installed


@pytest.fixture
def i2v(site_packages, tmp_path):
    """Runs the installed command in a folder with packages called `configs`, `data` and `launch`."""
    for name in ("configs", "data", "launch"):
        (tmp_path / name).mkdir()
        for module in ("__init__", "common", "sky", "train"):
            (tmp_path / name / f"{module}.py").write_text(f"raise ImportError('the package imported {name}')\n")
    programs = site_packages / "bin"
    environment = {
        **compiling.environment(),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(site_packages),
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [programs / "i2v", *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=HANG, check=False,
        )  # fmt: skip

    return run


def test_the_wheel_installs_one_package(site_packages):
    (metadata,) = site_packages.glob("*.dist-info")
    assert {path.name for path in site_packages.iterdir()} == {"i2v_jax", "bin", metadata.name}
    assert (metadata / "top_level.txt").read_text().split() == ["i2v_jax"]
    for folder, pattern in (
        ("i2v_jax", "**/*.py"),
        ("i2v_jax/serving/static", "*"),
        ("i2v_jax/data", "NOTICE.md"),
        ("i2v_jax/data", "*/*.txt"),
        ("i2v_jax/bundled", "*.i2v"),
    ):
        expected = {path.relative_to(ROOT / folder) for path in (ROOT / folder).glob(pattern)}
        installed = {path.relative_to(site_packages / folder) for path in (site_packages / folder).glob(pattern)}
        assert expected and expected <= installed


def test_every_command_has_help(i2v, site_packages):
    overview = i2v("--help")
    assert overview.returncode == 0, overview.stderr
    assert all(f"\n  {name} " in overview.stdout for name in COMMANDS)
    for name in COMMANDS:
        done = i2v(name, "--help")
        assert done.returncode == 0, done.stderr
        assert f"    i2v {name} " in done.stdout and "python -m" not in done.stdout


def test_a_packaged_config_is_found_by_name(i2v):
    done = i2v("train", "--config=sky:runlocal", "--print_config")
    assert done.returncode == 0, done.stderr
    assert "data.size" in done.stdout


def test_an_error_names_the_installed_command(i2v):
    done = i2v("sample", "--workdir=RUN", "--image=a.png", "--out=OUT")
    assert done.returncode == 2
    assert last_line(done.stderr).endswith("i2v train")
