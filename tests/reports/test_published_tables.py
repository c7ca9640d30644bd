"""The page of published results agrees with the code."""

import pathlib

from i2v_jax.evaluation.published import PUBLISHED
from i2v_jax.reports import published_tables, tables

_PAGE = pathlib.Path(__file__).parents[2] / "docs" / "published.md"


def test_the_page_is_made_of_the_code() -> None:
    assert _PAGE.read_text() == published_tables.document()


def test_every_number_is_on_the_page() -> None:
    """Each value is in a line with its method, source and note."""
    lines = _PAGE.read_text().splitlines()
    for row in PUBLISHED:
        needed = (row.method, row.source, row.note, f"| {tables.printed_text(row.value)} |")
        assert any(all(part in line for part in needed) for line in lines), row
    for method in ("TrIVD-GAN-FP", "MAGVIT-L", "iPOKE"):
        assert any(line.startswith(f"| {method} |") for line in lines)
