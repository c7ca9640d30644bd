"""`python -m launch.sample` with a poke model: coordinates of the image as it is, files, and bad pokes."""

import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from i2v_jax import media
from i2v_jax.configs import plants
from i2v_jax.errors import UserError
from i2v_jax.input.coordinates import Scaling, numbers
from i2v_jax.sampling.arrays import checked_pokes
from tests.launch.synthesis import frames_of, last_line, launch
from tests.sampling.random_run import write_run


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A picture of 80x40 pixels."""
    path = tmp_path_factory.mktemp("images") / "wide.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 80, 3), np.uint8)).save(path)
    return str(path)


def test_pokes_are_in_pixels_of_the_image() -> None:
    """The center of the first pixel of 80x40 is at (0.125, 0.25) from the corner in pixels of 20x20."""
    position, displacement = Scaling(80, 40, 20, "resize").poke(0, 0, 8, -4, impulse=False)
    np.testing.assert_allclose(position, [0.125 - 0.5, 0.25 - 0.5])
    np.testing.assert_allclose(displacement, [2, -2])
    position, displacement = Scaling(80, 40, 20, "center").poke(39.5, 19.5, 8, -4, impulse=False)
    np.testing.assert_allclose(position, [9.5, 9.5])
    np.testing.assert_allclose(displacement, [4, -2])
    _, displacement = Scaling(80, 40, 20, "center").poke(39.5, 19.5, 0.5, 0, impulse=True)
    np.testing.assert_allclose(displacement, [0.5, 0])


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("1,2,3", "--poke", "1,2,3"),
        ("1,2,3,4,5", "--poke", "1,2,3,4,5"),
        ("a,b,c,d", "--poke", "a,b,c,d"),
        ("", "--poke", ""),
        ("80,3,4,0", "position", (80, 3)),
        ("3,40,4,0", "position", (3, 40)),
        ("3,3,0,0", "displacement", (0, 0)),
        ("3,3,inf,0", "displacement", (np.inf, 0)),
        ("3,inf,4,0", "position", (3, np.inf)),
        ("3,3,90,0", "displacement", (90, 0)),
        ("3,3,4,0", "crop", "center"),
    ],
)
def test_bad_pokes_are_refused(text: str, field: str, value: object) -> None:
    with pytest.raises(UserError) as raised:
        Scaling(80, 40, 20, "center").poke(*numbers("--poke", text, "x,y,dx,dy"), impulse=False)
    assert (raised.value.field, raised.value.value) == (field, value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("crop", ["resize", "center"])
@pytest.mark.parametrize("size", [(80, 40), (40, 80), (33, 57), (16, 16)])
def test_a_poke_of_the_image_is_one_of_the_model(size: tuple[int, int], crop: str) -> None:
    """The maximum length is the same before and after scaling in any direction; positions at the edge stay inside."""
    middle = ((size[0] - 1) / 2, (size[1] - 1) / 2)
    scaling = Scaling(*size, 32, crop)
    for angle in np.linspace(0, 2 * np.pi, 13):
        way = np.array([np.cos(angle), np.sin(angle)])
        with pytest.raises(UserError) as raised:
            scaling.poke(*middle, *(1000 * way), impulse=False)
        most = longest(raised.value)
        checked_pokes(*([side] for side in scaling.poke(*middle, *((most - 0.5) * way), impulse=False)), 32)
        with pytest.raises(UserError) as raised:
            scaling.poke(*middle, *((most + 0.5) * way), impulse=False)
        assert raised.value.field == "displacement"
    edge = np.nextafter(size[0] / 2 + min(size) / 2 if crop == "center" else size[0], 0) - 0.5
    checked_pokes(*([side] for side in scaling.poke(edge, middle[1], 1, 0, impulse=False)), 32)


def longest(error: UserError) -> float:
    """Returns the maximum length in pixels that the error for a longer displacement states."""
    return float(re.search("at most ([0-9]+)", str(error))[1])


def test_lengths_are_in_pixels_of_the_image() -> None:
    with pytest.raises(UserError) as raised:
        Scaling(80, 40, 32, "resize").poke(40, 2, 0, 80, impulse=False)
    assert (raised.value.field, raised.value.value, longest(raised.value)) == ("displacement", (0, 80), 57)
    with pytest.raises(UserError) as raised:
        Scaling(80, 40, 32, "resize").poke(40, 2, 1, 1, impulse=True)
    assert (raised.value.field, raised.value.value, longest(raised.value)) == ("displacement", (1, 1), 1)
    rounded = np.float32([0.6, 0.8]) * np.float32(1 + 1e-7)
    assert np.hypot(*rounded) > 1
    checked_pokes([[3, 3]], [rounded], 32, impulse=True)


def test_bad_positions_of_a_heat_map() -> None:
    with pytest.raises(UserError) as raised:
        numbers("--correlation", "3", "x,y")
    assert (raised.value.field, raised.value.value) == ("--correlation", "3")
    with pytest.raises(UserError) as raised:
        Scaling(80, 40, 20, "resize").position(3, 50)
    assert (raised.value.field, raised.value.value) == ("position", (3, 50))


def test_two_pokes_and_a_heat_map(image: str, tmp_path: pathlib.Path) -> None:
    write_run(tmp_path / "run", plants.get_config("demo,runlocal"))
    done = launch(
        "launch.sample", f"--workdir={tmp_path / 'run'}", f"--image={image}", f"--out={tmp_path / 'out'}",
        "--poke=20,20,6,0", "--poke=60,10,0,-5", "--correlation=40,20", "--scale=2", "--frames=4", "--flow",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    videos = [f"wide_{index:02d}{end}" for index in range(2) for end in (".mp4", ".gif", "_strip.png", "_flow.png")]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*videos, "wide_correlation_00.png"}
    assert frames_of(tmp_path / "out" / "wide_01.mp4") == [(64, 64)] * 5

    arguments = ("launch.sample", f"--workdir={tmp_path / 'run'}", f"--image={image}", f"--out={tmp_path / 'none'}")
    for more, names in (
        ((), "--poke=x,y,dx,dy"),
        (("--poke=20,20,6,0", "--chain=fresh", "--seed=0"), "--seed, --chain: "),
        (("--poke=20,20,6,0", "--in_turn", "--flow"), "--flow: "),
    ):
        done = launch(*arguments, *more)
        assert done.returncode == 2
        assert names in last_line(done.stderr)
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
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

    for more, names in (
        ((), "--poke=x,y,dx,dy"),
        (("--poke=1,2,3,4", "--in_turn"), "--in_turn: "),
    ):
        done = launch(*arguments, f"--out={tmp_path / 'none'}", *more)
        assert done.returncode == 2
        assert names in last_line(done.stderr)
        assert not (tmp_path / "none").exists()


def test_a_model_without_pokes_says_so(work: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = launch(
        "launch.sample", f"--workdir={work / 'run'}", f"--image={work / 'a.png'}", f"--out={tmp_path / 'out'}",
        "--poke=3,3,4,0", "--in_turn",
    )  # fmt: skip
    assert done.returncode == 2
    assert last_line(done.stderr).startswith("error: --poke, --in_turn: ")
    assert not (tmp_path / "out").exists()
