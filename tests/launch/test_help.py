"""`--help` of every command, and what the command line refuses."""

import re

import pytest

from i2v_jax.launch.__main__ import COMMANDS
from tests.launch.synthesis import ROOT, last_line, launch


def test_the_commands_are_the_modules_of_launch():
    modules = {path.stem for path in (ROOT / "launch").glob("*.py")}
    assert set(COMMANDS) == {name for name in modules if not name.startswith("_")}


def test_the_overview_has_a_line_for_each_command():
    done = launch("launch", "--help")
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^  (\w+) +(\S.+)$", done.stdout, re.MULTILINE)
    assert [name for name, _ in rows] == list(COMMANDS)
    assert launch("launch").stdout == done.stdout


def test_help_lists_required_flags_first_then_all_others():
    done = launch("launch.sample", "--help")
    assert done.returncode == 0, done.stderr
    assert "python -m launch.sample --" in done.stdout
    _, required, optional = re.split("(?:Required|Optional) flags:\n", done.stdout)
    assert set(re.findall(r"^  --(\w+)", required, re.MULTILINE)) == {"image", "out", "workdir"}
    assert "--chain=same_z|fresh" in optional and "--[no]in_turn" in optional and "default: 8" in optional
    assert not {"logtostderr", "pdb", "only_check_args"} & set(re.findall(r"--(\w+)", optional))


def test_help_of_training_lists_the_config_files():
    done = launch("launch.train", "--help")
    assert done.returncode == 0, done.stderr
    assert "--config.FIELD=VALUE" in done.stdout
    for path in (ROOT / "configs").glob("*.py"):
        assert (f"\n  {path.stem} " in done.stdout) == ("def get_config(" in path.read_text())


def test_the_help_of_all_libraries_succeeds_too():
    done = launch("launch.report", "--helpfull")
    assert done.returncode == 0 and "absl.logging" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("launch", "trian"), "trian"),
        (("launch.train",), "--config"),
        (("launch.train", "--config=sky", "--workdri=RUN"), "workdri"),
        (("launch.report", "RUN"), "--out"),
        (("launch.weights", "RUN"), "RUN"),
        (("launch.prepare", "--dataset=folder", "--raw_dir=RAW", "--data_dir=gs://b/d"), "--data_dir=gs://b/d"),
        (("launch.train", "--config=sky", "--workdir=RUN", "--config.data.dir=s3://b/d"), "--config.data.dir=s3://b/d"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(arguments, expected):
    done = launch(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert expected in last_line(done.stderr)
