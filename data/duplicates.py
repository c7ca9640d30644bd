"""Videos with the same content under different names: they are kept and told, and share a split if it is held out."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from i2v_jax.data import raw
from i2v_jax.data.staging import StoredVideo

_SHOWN = 6  # names of one video


@dataclasses.dataclass(frozen=True)
class Same:
    """Videos of which the same is stored, under different names."""

    splits: Mapping[str, Sequence[str]]  # of each name

    @property
    def divided(self) -> bool:
        """Whether they are in different splits."""
        return len({tuple(splits) for splits in self.splits.values()}) > 1

    def __str__(self) -> str:
        names = [f"{name} in {' and '.join(splits)}" for name, splits in self.splits.items()]
        more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
        return " = ".join(names[:_SHOWN]) + more


def find(stored: Iterable[tuple[str, StoredVideo]]) -> list[Same]:
    """Returns the videos of which the same is stored. Of what an earlier version stored, nothing is known.

    Args:
        stored: each video with its split; it may be in two.
    """
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for split, video in stored:
        if video.content:
            found[video.content][video.name].append(split)
    return [Same(splits) for splits in found.values() if len(splits) > 1]


def summary(same: Sequence[Same]) -> str:
    """Returns how many videos there are several times, in words."""
    videos = "1 video is" if len(same) == 1 else f"{len(same):,} videos are"
    divided = sum(one.divided for one in same)
    where = (
        "" if not divided else ", in different splits" if divided == len(same) else f", {divided:,} in different splits"
    )
    return f"{videos} there under several names{where}"


def grouped(videos: Sequence[raw.RawVideo], same: Iterable[Same]) -> list[raw.RawVideo]:
    """Returns the videos; those that are the same are of one group, with all other videos of their groups."""
    group_of = {video.name: video.group or video.name for video in videos}
    first = {group: group for group in group_of.values()}  # another one of the same videos, or itself

    def root(group: str) -> str:
        while first[group] != group:
            group = first[group]
        return group

    for names in same:
        groups = [root(group_of[name]) for name in names.splits]
        for group in groups:
            first[root(group)] = groups[0]
    return [
        video if root(group) == group else dataclasses.replace(video, group=root(group))
        for video, group in zip(videos, group_of.values(), strict=True)
    ]
