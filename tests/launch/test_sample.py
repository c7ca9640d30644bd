"""`python -m launch.sample` as a user runs it, on a work directory of untrained networks."""

import pathlib
import shutil

import av

from tests.launch.synthesis import frames_of, last_line, launch


def test_two_images_with_a_direction_and_chaining(work: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = launch(
        "launch.sample", f"--workdir={work / 'run'}", f"--image={work / 'a.png'}", f"--image={work / 'b.png'}",
        f"--out={tmp_path / 'out'}", "--num_samples=2", "--frames=20", "--direction=90", "--scale=2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    samples = [f"{image}_{index:02d}" for image in "ab" for index in range(2)]
    assert names == {f"{s}{end}" for s in samples for end in (".mp4", ".gif", "_strip.png")} | {"grid.mp4", "grid.png"}
    assert frames_of(tmp_path / "out" / "b_01.mp4") == [(64, 64)] * 21
    assert len(frames_of(tmp_path / "out" / "grid.mp4")) == 21
    for name in names:
        assert name in done.stdout


def test_a_name_to_which_nothing_fits_and_another_codec(work: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Generators name images after their prompts: 251 bytes and the suffix are a legal name."""
    prompt = ("a calm lake at dawn, été, 35mm, " * 8).encode()[:251].decode(errors="ignore").strip()
    image = tmp_path / f"{prompt}.png"
    shutil.copy(work / "a.png", image)
    done = launch(
        "launch.sample", f"--workdir={work / 'run'}", f"--image={image}", f"--out={tmp_path / 'out'}",
        "--num_samples=1", "--direction=90", "--scale=2", "--codec=vp9",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (written,) = [path for path in (tmp_path / "out").glob("*.mp4") if path.name != "grid.mp4"]
    assert written.name.startswith(prompt[:150])
    with av.open(written) as container:
        assert container.streams.video[0].codec_context.name == "vp9"


def test_bad_input_is_one_line_and_writes_nothing(work: pathlib.Path, tmp_path: pathlib.Path) -> None:
    out = tmp_path / "out"
    done = launch("launch.sample", f"--workdir={work / 'run'}", f"--out={out}", f"--image={work / 'broken.png'}")
    assert done.returncode == 2
    assert last_line(done.stderr).startswith("error: ")
    assert "broken.png" in last_line(done.stderr)
    assert "Traceback" not in done.stderr
    assert not out.exists()
