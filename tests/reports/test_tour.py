"""The page of models that come with the package, for stand-ins of both."""

import dataclasses
import pathlib
import re

import pytest

from i2v_jax.configs import sky
from i2v_jax.errors import UserError
from i2v_jax.reports import tour
from i2v_jax.reports.page import render
from i2v_jax.tasks.control import NONE
from tests.reports import test_plants_demo
from tests.reports.oracle import SIZE, oracle
from tests.test_bundle import CARD

SKY = sky.get_config(f"size={SIZE}").data
NUMBERS = {
    "target_error_model": 1.5, "target_error_still": 5.0, "target_error_truth": 0.5, "background_motion_model": 0.25,
    "motion_truth": 1.0, "psnr_db_model": 24.0, "psnr_db_still": 18.0, "psnr_db_translation": 19.0, "ssim_model": 0.9,
    "ssim_still": 0.8, "ssim_translation": 0.85,
}  # fmt: skip


def files_of(page: str, folder: pathlib.Path) -> list[str]:
    files = re.findall(r'src="([^"]+)"', page)
    assert all((folder / file).stat().st_size > 0 for file in files)
    return files


def test_samples_a_wheel_and_transfer_of_a_sky(tmp_path: pathlib.Path) -> None:
    report = tour.report(oracle(0.0), SKY, None, tmp_path, lambda picture: f"http://here/?{picture.shape}&")
    page = render(report.part)
    assert f'href="http://here/?{(SIZE, SIZE, 3)}&amp;"' in page
    assert len(files_of(page, tmp_path)) == 8 + 9 + 4
    assert report.numbers == {} and 'class="number"' not in page


def test_pokes_of_plants_with_the_numbers_of_the_card(tmp_path: pathlib.Path) -> None:
    card = dataclasses.replace(CARD, numbers=NUMBERS, license="Free <b>")
    report = tour.report(test_plants_demo.oracle(1.0), test_plants_demo.data_of_plants(), card, tmp_path)
    page = render(report.part)
    assert "href=" not in page.partition("<body>")[2]
    assert len(files_of(page, tmp_path)) == 8 + 4 + 4 + 4
    assert "1.50 px" in page and "Free &lt;b&gt;" in page
    assert report.numbers == NUMBERS


def test_other_models_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError) as caught:
        tour.report(dataclasses.replace(oracle(0.0), control=NONE), SKY, None, tmp_path)
    assert caught.value.field == "data.name"
