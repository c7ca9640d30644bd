"""Local clusters number the lines of their processes and end with the status of the one that fails."""

import pytest

from tests.launch.synthesis import launch


@pytest.mark.slow
def test_the_status_and_the_lines_are_those_of_the_processes() -> None:
    done = launch("launch.local_cluster", "--processes=2", "--", "--config=nosuch", "--workdir=x")
    assert done.returncode == 2
    assert {line[:3] for line in done.stdout.splitlines()} == {"[0]", "[1]"}
