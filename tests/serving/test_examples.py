"""The example images of the page."""

from i2v_jax.serving import examples
from tests.serving.stand_ins import png


def test_files_of_one_name_are_all_offered(tmp_path):
    for name, value in (("a.png", 1), ("a.webp", 2), ("b.png", 3)):
        (tmp_path / name).write_bytes(png(value=value))
    offered = examples.from_folder(tmp_path)
    assert {name: int(example.pixels[0, 0, 0]) for name, example in offered.items()} == {"a": 1, "a~2": 2, "b": 3}
    assert all(example.name == name for name, example in offered.items())
