"""How many videos, and which, the published data sets have, for comparing a prepared one with them."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence

from i2v_jax.input.sources import SPLITS

Names = Mapping[str, Collection[str]]  # of the videos of each split
_SHOWN = 3  # names in a message


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of a comparison."""

    what: str
    found: int
    expected: str
    difference: str = ""  # empty if it is as expected

    def __str__(self) -> str:
        verdict = f"differs: {self.difference}" if self.difference else "as published"
        return f"  {self.what:<25} {self.found:>7,} of {self.expected}: {verdict}"


@dataclasses.dataclass(frozen=True)
class Expected:
    """What splits have together: from `least` to `most` videos, or exactly the ones of a list.

    Attributes:
        splits: what is counted, each video once. If the test split is none of several, its videos are not counted.
        least, most: numbers of videos.
        names: returns the names of all videos, if a list of them is published.
        count: returns what is counted, from the names of the videos: by default the videos themselves.
        what: that is counted.
    """

    splits: tuple[str, ...]
    least: int
    most: int
    names: Callable[[], Collection[str]] | None = None
    count: Callable[[str], str] = str
    what: str = "videos"

    def compare(self, found: Names) -> Row:
        """Compares the names of the videos that were prepared with what is expected."""
        names = {name for split in self.splits for name in found.get(split, ())}
        if len(self.splits) > 1 and "test" not in self.splits:  # eval may be the test split
            names -= set(found.get("test", ()))
        chosen = {self.count(name) for name in names}
        expected = f"{self.least:,}" if self.least == self.most else f"{self.least:,} to {self.most:,}"
        splits = "all" if len(self.splits) == len(SPLITS) else " and ".join(self.splits)
        return Row(f"{splits} {self.what}", len(chosen), expected, self._difference(chosen))

    def _difference(self, chosen: Collection[str]) -> str:
        if self.names is not None:
            listed = set(self.names())
            return "; ".join(
                f"{len(names):,} {kind}, for example {', '.join(sorted(names)[:_SHOWN])}"
                for kind, names in (("missing", listed - set(chosen)), ("not in the list", set(chosen) - listed))
                if names
            )
        if len(chosen) < self.least:
            return f"{self.least - len(chosen):,} missing"
        return f"{len(chosen) - self.most:,} too many" if len(chosen) > self.most else ""


def videos(*splits: str, least: int, most: int = 0) -> Expected:
    """Expects a number of videos in splits together."""
    return Expected(splits, least, most or least)


def listed(split: str, names: Callable[[], Collection[str]], count: int) -> Expected:
    """Expects the `count` videos of a list in a split."""
    return Expected((split,), count, count, names)


def compare(expected: Sequence[Expected], found: Names) -> list[Row]:
    """Returns a line for each expectation."""
    return [entry.compare(found) for entry in expected]
