"""Files and folders appear complete or not at all, and a failure to write is one UserError that names the path."""

import errno
import pathlib

import pytest

from i2v_jax import files
from i2v_jax.errors import UserError


class Stopped(Exception):
    """Raised while something is written."""


def listing(folder: pathlib.Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_file_is_written_with_its_folder(tmp_path: pathlib.Path) -> None:
    files.write_text(tmp_path / "a" / "b.txt", "größer")
    files.write_bytes(str(tmp_path / "a" / "b.txt"), "größer\n".encode())
    assert (tmp_path / "a" / "b.txt").read_text() == "größer\n"
    assert listing(tmp_path) == ["a", "a/b.txt"]


def test_a_full_disk_keeps_the_old_file_and_leaves_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b"before")
    write_bytes = pathlib.Path.write_bytes

    def full(self: pathlib.Path, content: bytes) -> int:
        write_bytes(self, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    with pytest.raises(UserError) as raised:
        files.write_text(path, "after")
    assert (raised.value.value, "\n" in str(raised.value)) == (str(path), False)
    assert path.read_bytes() == b"before"
    assert listing(tmp_path) == ["config.json"]


def test_a_folder_that_cannot_be_made(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as raised:
        files.write_text(tmp_path / "file" / "a.txt", "")
    assert raised.value.value == str(tmp_path / "file" / "a.txt")


def test_a_failure_of_the_writer_keeps_the_old_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(b"before")

    def fail() -> None:
        with files.replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise Stopped

    with pytest.raises(Stopped):
        fail()
    assert path.read_bytes() == b"before"
    assert listing(tmp_path) == ["a.npz"]


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: pathlib.Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(UserError) as raised, files.new_folder(tmp_path / "run"):
        pytest.fail("the context was entered")
    assert raised.value.value == str(tmp_path / "run")
    assert listing(tmp_path) == ["run", "run/mine.txt"]


def test_a_folder_appears_complete_or_not_at_all(tmp_path: pathlib.Path) -> None:
    def fail() -> None:
        with files.new_folder(tmp_path / "run") as folder:
            (folder / "a").write_text("a")
            raise Stopped

    with pytest.raises(Stopped):
        fail()
    assert listing(tmp_path) == []
    with files.new_folder(tmp_path / "run") as folder:
        (folder / "a").write_text("a")
        assert not (tmp_path / "run").exists()
    assert listing(tmp_path) == ["run", "run/a"]


def test_errors_name_the_field_and_the_value() -> None:
    error = UserError("invalid value for train.keep: -1 (must be at least 1)", "train.keep", -1)
    assert (str(error), error.field, error.value) == (
        "invalid value for train.keep: -1 (must be at least 1)",
        "train.keep",
        -1,
    )
    assert (UserError("no such file").field, UserError("no such file").value) == ("", None)


@pytest.mark.parametrize("path", ["gs://bucket/run", pathlib.Path("gs://bucket/run"), "s3://b", "https://h/a.png"])
def test_what_is_not_on_a_local_disk_is_refused(path: str | pathlib.Path) -> None:
    with pytest.raises(UserError) as raised:
        files.require_local(path, "--workdir")
    assert (raised.value.field, raised.value.value) == ("workdir", str(path))


@pytest.mark.parametrize("path", ["run", "/a/b:c/d", "a:b", "sky:size=64", "./gs:/bucket", "x:/run"])
def test_local_paths_with_colons_are_not(path: str) -> None:
    files.require_local(path)


def test_the_cache_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("I2V_JAX_CACHE", "gs://bucket/cache")
    with pytest.raises(UserError) as raised:
        files.cache_dir()
    assert raised.value.value == "gs://bucket/cache"
