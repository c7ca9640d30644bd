"""The page and the measurements of a generator with known errors."""

import json
import pathlib
import re

import numpy as np
import pytest

from i2v_jax.configs import sky
from i2v_jax.errors import UserError
from i2v_jax.reports.page import write_page
from i2v_jax.reports.sky_demo import report
from tests.reports.oracle import COUNT, SIZE, oracle
from tests.sampling import stand_ins

OFF = 60.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("demo")
    (folder / "sky" / "flow").mkdir(parents=True)
    lines = [{"step": step, "eval/bits_per_dimension": 3 - step / 100} for step in (100, 200)]
    (folder / "sky" / "flow" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_page(folder, {"sky": report(oracle(OFF), sky.get_config(f"size={SIZE}").data, folder / "sky", clips=COUNT)})
    return folder


def test_errors_are_what_the_motion_is_off_by(folder: pathlib.Path) -> None:
    numbers = json.loads((folder / "numbers.json").read_text())["sky"]
    assert numbers["clips"] == COUNT
    assert numbers["estimator_error_degrees"] < 2
    assert abs(numbers["control_error_degrees"] - OFF) < 3
    assert abs(numbers["recontrol_error_degrees"] - OFF) < 3
    # The requested direction is the center of the clip's bin, up to 5 degrees from its true direction.
    assert abs(numbers["transfer_error_degrees"] - OFF) < 6
    assert numbers["reconstruction_psnr_db"] == pytest.approx(20, abs=1e-3)
    assert numbers["free_samples_spread_degrees"] < 2  # all in one direction
    assert numbers["data_spread_degrees"] > 60
    assert np.isfinite(list(numbers.values())).all()


def test_the_page_stands_alone(folder: pathlib.Path) -> None:
    page = (folder / "index.html").read_text()
    files = re.findall(r'src="([^"]+)"', page)
    assert len(files) == 8 + 8 + 9 + 4 + 4
    for file in files:
        assert (folder / file).stat().st_size > 0
    assert not re.search(r"https?:|//[a-z]", page)
    assert "<script" not in page
    assert page.count("<svg") == 1  # the log has no values of the other two stages
    assert "bits per dimension" in page
    assert f"{SIZE}x{SIZE} pixels" in page
    assert page.index("90° up") < page.index('<div class="numbers">')  # directions are explained before they are used
    numbers = json.loads((folder / "numbers.json").read_text())["sky"]
    assert f"{numbers['control_error_degrees']:.0f}°" in page
    assert {path.name for path in (folder / "sky").glob("*.gif")} == {
        "reconstructions.gif", "samples.gif", "wheel.gif", "transfer.gif",
    }  # fmt: skip


def test_a_model_without_directions_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError):
        report(stand_ins.generator(), sky.get_config().data, tmp_path)
