"""Names of results."""

from launch import _synthesis


def test_names_do_not_collide() -> None:
    assert _synthesis.unique_names(["x/a.jpg", "y/a.png", "b.png", "z/a.gif"]) == ["a", "a~2", "b", "a~3"]
