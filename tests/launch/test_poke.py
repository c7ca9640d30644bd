"""`python -m launch.sample` with a poke model: coordinates of the image as it is, files, and bad pokes."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from configs import plants
from i2v_jax import media
from i2v_jax.errors import UserError
from i2v_jax.input.coordinates import Scaling, numbers
from tests.launch.synthesis import frames_of, last_line, launch
from tests.sampling.random_run import write_run


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A picture of 80x40 pixels."""
    path = tmp_path_factory.mktemp("images") / "wide.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 80, 3), np.uint8)).save(path)
    return str(path)


def test_pokes_are_in_pixels_of_the_image() -> None:
    """The middle of the first pixel of 80x40 is 1/80 and 1/80 from its corner in pixels of 20x20: 0.125 and 0.25."""
    position, displacement = Scaling(80, 40, 20, "resize").poke(0, 0, 8, -4, impulse=False)
    np.testing.assert_allclose(position, [0.125 - 0.5, 0.25 - 0.5])
    np.testing.assert_allclose(displacement, [2, -2])
    position, displacement = Scaling(80, 40, 20, "center").poke(39.5, 19.5, 8, -4, impulse=False)
    np.testing.assert_allclose(position, [9.5, 9.5])
    np.testing.assert_allclose(displacement, [4, -2])
    _, displacement = Scaling(80, 40, 20, "center").poke(39.5, 19.5, 0.5, 0, impulse=True)
    np.testing.assert_allclose(displacement, [0.5, 0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3", "--poke=1,2,3: 4 numbers are needed, x,y,dx,dy"),
        ("1,2,3,4,5", "4 numbers are needed"),
        ("a,b,c,d", "4 numbers are needed"),
        ("", "4 numbers are needed"),
        ("80,3,4,0", "position 80,3 is outside the image of 80x40 pixels"),
        ("3,40,4,0", "outside the image of 80x40"),
        ("3,3,0,0", "there is nothing to answer"),
        ("3,nan,4,0", "must be finite numbers"),
        ("3,3,90,0", "it is 90 pixels long, the image is 80x40"),
        ("3,3,4,0", "position 3,3 is cut off with crop=center"),
    ],
)
def test_bad_pokes_are_one_clear_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Scaling(80, 40, 20, "center").poke(*numbers("--poke", text, "x,y,dx,dy"), impulse=False)


def test_bad_places_of_a_heat_map() -> None:
    with pytest.raises(UserError, match="--correlation=3: 2 numbers are needed, x,y"):
        numbers("--correlation", "3", "x,y")
    with pytest.raises(UserError, match="outside the image"):
        Scaling(80, 40, 20, "resize").position(3, 50)


def test_two_pokes_and_a_heat_map(image: str, tmp_path: pathlib.Path) -> None:
    write_run(tmp_path / "run", plants.get_config("demo,runlocal"))
    done = launch(
        "launch.sample", f"--workdir={tmp_path / 'run'}", f"--image={image}", f"--out={tmp_path / 'out'}",
        "--poke=20,20,6,0", "--poke=60,10,0,-5", "--correlation=40,20", "--scale=2", "--frames=4",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    videos = [f"wide_{index:02d}{end}" for index in range(2) for end in (".mp4", ".gif", "_strip.png")]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*videos, "wide_correlation_00.png"}
    assert frames_of(tmp_path / "out" / "wide_01.mp4") == [(64, 64)] * 5

    done = launch("launch.sample", f"--workdir={tmp_path / 'run'}", f"--image={image}", f"--out={tmp_path / 'none'}")
    assert done.returncode == 2
    assert "this is a poke model: give --poke=x,y,dx,dy" in last_line(done.stderr)
    assert not (tmp_path / "none").exists()


def test_a_cinn_draws_samples_of_every_poke(image: str, tmp_path: pathlib.Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    write_run(run, plants.get_config("model=cinn,demo,runlocal"))
    arguments = ("launch.sample", f"--workdir={run}", f"--image={image}", "--num_samples=2", "--frames=4")
    done = launch(*arguments, f"--out={out}", "--poke=20,20,6,0", "--poke=60,10,0,-5", "--scale=2", "--temperature=0.5")
    assert done.returncode == 0, done.stderr
    samples = [f"wide_{poke:02d}_{index:02d}" for poke in range(2) for index in range(2)]
    files = {f"{sample}{end}" for sample in samples for end in (".mp4", ".gif", "_strip.png")}
    assert {path.name for path in out.iterdir()} == files | {"grid.mp4", "grid.png"}
    assert frames_of(out / "wide_01_01.mp4") == [(64, 64)] * 5
    grid = np.asarray(Image.open(out / "grid.png")).astype(int)
    red = (np.abs(grid - media.ACCENT) < 30).all(axis=-1)  # the ring around each target
    assert red[:34].any() and red[34:].any()

    for more, message in (((), "give --poke=x,y,dx,dy"), (("--poke=1,2,3,4", "--in_turn"), "--in_turn: these are for")):
        done = launch(*arguments, f"--out={tmp_path / 'none'}", *more)
        assert done.returncode == 2
        assert message in last_line(done.stderr)
        assert not (tmp_path / "none").exists()


def test_a_model_without_pokes_says_so(work: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = launch(
        "launch.sample", f"--workdir={work / 'run'}", f"--image={work / 'a.png'}", f"--out={tmp_path / 'out'}",
        "--poke=3,3,4,0",
    )  # fmt: skip
    assert done.returncode == 2
    assert "was not trained with pokes" in last_line(done.stderr)
    assert not (tmp_path / "out").exists()
