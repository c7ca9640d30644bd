"""Protocols, conventions and published values agree with the papers; clip lists are reproducible."""

import dataclasses
import hashlib

import numpy as np
import pytest

from i2v_jax.configs import bair, dtdb, human36m, iper, landscape, poking_plants, taichi
from i2v_jax.errors import UserError
from i2v_jax.evaluation import scoring
from i2v_jax.evaluation.protocols import Clip, clip_list, get_protocol, protocols, spare_clips
from i2v_jax.evaluation.published import PUBLISHED, published
from i2v_jax.metrics.registry import METRICS, get_metric, release_name


def _videos(count: int, frames: int) -> list[tuple[str, int]]:
    return [(f"video_{number:04d}", frames + number % 7) for number in range(count)]


@pytest.mark.parametrize(
    ("name", "videos", "frames", "clips", "paired", "scored", "kept_by_release"),
    [
        ("bair", _videos(256, 30), 16, 256, 256, 15, 256),
        ("iper", _videos(40, 1200), 17, 1000, 1000, 16, 992),
        ("landscape", _videos(153, 33), 32, 918, 918, 32, 912),
        ("dtdb", _videos(77, 100), 16, 385, 385, 16, 384),
        ("poke", _videos(30, 500), 10, 1000, 8000, 10, 976),
    ],
)
def test_numbers_of_the_papers(
    name: str, videos: list, frames: int, clips: int, paired: int, scored: int, kept_by_release: int
) -> None:
    protocol, release = get_protocol(name), get_protocol(name, release_quirks=True)
    assert scoring.scored_frames(METRICS["fvd"], protocol) == frames
    assert protocol.frames == scoring.scored_frames(METRICS["lpips"], protocol) == scored
    listed = clip_list(protocol, videos)
    assert len(listed) == clips
    assert len(clip_list(protocol, videos, paired=True)) == paired
    assert scoring.scored_clips(METRICS["fvd"], protocol, clips) == clips
    assert scoring.scored_clips(METRICS["fvd"], release, clips) == kept_by_release
    assert scoring.scored_clips(METRICS["fvd"], release, paired) == kept_by_release
    assert (
        scoring.scored_clips(METRICS["lpips"], release, paired)
        == scoring.scored_clips(METRICS["lpips"], protocol, paired)
        == paired
    )
    lengths = dict(videos)
    assert all(clip.start >= 0 and clip.indices[-1] < lengths[clip.video] for clip in listed.clips)
    assert all(len(clip.indices) == max(scored, protocol.least_frames) + 1 for clip in listed.clips)


def test_the_release_scores_one_clip_of_a_texture_five_times() -> None:
    release = get_protocol("dtdb", release_quirks=True)
    listed = clip_list(release, _videos(18, 40))
    assert [clip.start for clip in listed.clips] == [0] * 90
    assert (listed.distinct(90), release.starts, release.split) == (18, "first", "eval")
    assert {get_protocol(name, True).split for name in protocols()} - {release.split} == {"test"}


def test_the_poke_release_draws_frames_of_all_videos() -> None:
    """Long videos give more clips; a frame whose clip would be too long gives the last clip."""
    release, videos = get_protocol("poke", release_quirks=True), [("long", 900), ("short", 100), ("none", 10)]
    listed = clip_list(release, videos)
    assert (len(listed), listed.too_short) == (976, ("none",))
    paired = clip_list(release, videos, paired=True)  # of 8000, as many as there are frames
    assert (len(paired), paired.clips[:976]) == (1000, listed.clips)
    starts = {name: sorted(c.start for c in paired.clips if c.video == name) for name in ("long", "short")}
    assert starts == {"long": [*range(889), *[889] * 11], "short": [*range(89), *[89] * 11]}
    assert clip_list(release, videos, seed=1).clips != listed.clips
    assert clip_list(release, videos[::-1]) == listed


def test_release_quirks() -> None:
    shifted = {name for name in protocols() if get_protocol(name, release_quirks=True).truth_offset == 0}
    assert shifted == {"landscape", "dtdb"}
    assert all(protocol.truth_offset == 1 and not protocol.release for protocol in protocols().values())
    dtdb, release = get_protocol("dtdb"), get_protocol("dtdb", True)
    assert scoring.pairing(METRICS["lpips"], dtdb) == "aligned"
    assert scoring.pairing(METRICS["lpips"], release) == "generated frame t with true frame t - 1"
    assert scoring.pairing(METRICS["fvd"], get_protocol("iper", True)) == "aligned"
    assert scoring.pairing(METRICS["diversity_vgg"], release) == scoring.pairing(METRICS["diversity_vgg"], dtdb)


def test_batches_of_the_authors_scripts() -> None:
    release = get_protocol("dtdb", True)
    metrics = ("fvd", "dtfvd_16_release", "diversity_i3d", "diversity_dti3d_16_release", "diversity_vgg", "lpips")
    assert [scoring.scored_clips(METRICS[metric], release, 90) for metric in metrics] == [80, 80, 80, 80, 90, 90]
    assert {scoring.scored_clips(METRICS[metric], get_protocol("dtdb"), 90) for metric in metrics} == {90}


def test_diversity_is_of_all_generated_frames() -> None:
    assert scoring.scored_frames(METRICS["diversity_vgg"], get_protocol("bair")) == 16
    assert scoring.scored_frames(METRICS["diversity_i3d"], get_protocol("landscape")) == 32


def _numbered(start: int, frames: int, count: int = 2) -> np.ndarray:
    """Returns frames whose pixels all have the frame's number as value."""
    return np.broadcast_to(
        np.arange(start, start + frames, dtype=np.float32)[:, None, None, None], (count, frames, 1, 1, 3)
    )


_ROWS = [
    ("fvd", "bair", False, range(16), [0, *range(101, 116)]),
    ("lpips", "bair", False, range(1, 16), range(101, 116)),
    ("lpips", "bair", True, range(16), [0, *range(101, 116)]),
    ("psnr", "bair", True, range(1, 16), range(101, 116)),
    ("fvd", "iper", False, range(17), [0, *range(101, 117)]),
    ("fid", "iper", False, range(1, 17), range(101, 117)),
    ("fid_release", "iper", True, range(17), [0, *range(101, 117)]),
    ("fvd", "dtdb", False, range(1, 17), range(101, 117)),
    ("lpips", "dtdb", True, range(16), range(101, 117)),
    ("dtfvd_16_release", "dtdb", True, range(16), range(101, 117)),
    ("fvd", "landscape", False, range(1, 33), range(101, 133)),
    ("fid_per_frame_release", "poke", True, range(1, 11), range(101, 111)),
]


@pytest.mark.parametrize(("metric", "name", "quirks", "real", "generated"), _ROWS)
def test_which_frames_meet(metric: str, name: str, quirks: bool, real: range, generated: list) -> None:
    protocol = get_protocol(name, quirks)
    one, other = scoring.compared(METRICS[metric], protocol, _numbered(0, 33), _numbered(101, 32))
    assert np.asarray(one)[1, :, 0, 0, 2].tolist() == list(real)
    assert np.asarray(other)[0, :, 0, 0, 0].tolist() == list(generated)
    assert scoring.scored_frames(METRICS[metric], protocol) == len(real)
    assert scoring.sees_start_frame(METRICS[metric], protocol) == (real[0] == 0 and generated[0] == 0)


def test_the_poke_release_scores_videos_of_bytes() -> None:
    protocol = get_protocol("poke", True)
    clips = np.full((1, 11, 1, 1, 3), 100.7 / 127.5 - 1, np.float32)
    exact = np.full((1, 10, 1, 1, 3), 0.5, np.float32)
    truth, video = scoring.compared(METRICS["fvd"], protocol, clips, exact)
    np.testing.assert_allclose(truth, 100 / 127.5 - 1, rtol=1e-5)
    np.testing.assert_allclose(video, 191 / 127.5 - 1, rtol=1e-5)
    assert scoring.input_dtype(METRICS["fvd"], protocol) == "uint8"
    for metric, other in (("lpips", protocol), ("fvd", get_protocol("poke")), ("fvd", get_protocol("bair", True))):
        assert scoring.input_dtype(METRICS[metric], other) == "float32"
        np.testing.assert_array_equal(
            np.unique(scoring.compared(METRICS[metric], other, clips.repeat(2, 1), exact.repeat(2, 1))[1][:, 1:]), [0.5]
        )


def test_clips_that_do_not_fit() -> None:
    protocol = get_protocol("dtdb")
    with pytest.raises(UserError) as raised:
        protocol.paired(_numbered(0, 16), _numbered(0, 16))
    assert (raised.value.field, raised.value.value) == ("frames", (16, 16))
    with pytest.raises(UserError) as raised:
        protocol.with_start_frame(_numbered(0, 17), _numbered(0, 16, 3))
    assert (raised.value.field, raised.value.value) == ("generated", 3)


def test_clip_lists_depend_on_names_and_seed_alone() -> None:
    videos = _videos(12, 60)
    for name in protocols():
        listed = clip_list(get_protocol(name), videos)
        assert clip_list(get_protocol(name), videos[::-1]) == listed
        other = clip_list(get_protocol(name), videos, seed=1)
        assert (other.sha256 != listed.sha256) == (get_protocol(name).starts == "random")
    landscape = clip_list(get_protocol("landscape"), videos)
    fewer = clip_list(get_protocol("landscape"), videos[:5])
    assert fewer.clips == landscape.clips[:30]


def test_the_list_and_its_hash_are_for_ever() -> None:
    """If the clips change, new results cannot be compared with old ones. The order was checked with sha256sum."""
    listed = clip_list(get_protocol("landscape"), [("b", 40), ("a", 35), ("short", 32)], seed=3)
    assert [clip.start for clip in listed.clips] == [1, 2, 0, 1, 2, 0, 1, 3, 5, 0, 6, 2]
    text = ",".join(f'["{clip.video}",{clip.start},33,1]' for clip in listed.clips)
    assert listed.sha256 == hashlib.sha256(f"[{text}]".encode()).hexdigest()
    assert listed.too_short == ("short",)


def test_starts_repeat_only_when_all_were_drawn() -> None:
    listed = clip_list(get_protocol("landscape"), [("a", 33), ("b", 35), ("c", 38), ("d", 60)])
    starts = {name: [clip.start for clip in listed.clips if clip.video == name] for name in "abcd"}
    assert starts["a"] == [0] * 6
    assert sorted(starts["b"]) == [0, 0, 1, 1, 2, 2]
    assert sorted(starts["c"]) == [0, 1, 2, 3, 4, 5]
    assert len(set(starts["d"])) == 6
    assert listed.distinct(24) == 1 + 3 + 6 + 6


def test_starts_of_dtdb_are_spread_and_of_bair_first() -> None:
    listed = clip_list(get_protocol("dtdb"), [("a", 57)])
    assert [clip.start for clip in listed.clips] == [0, 10, 20, 30, 40]
    assert clip_list(get_protocol("bair"), [("a", 30)]).clips == (Clip("a", 0, 17),)  # 16 are scored


def test_videos_take_turns_and_limits_cut_the_end() -> None:
    poke = get_protocol("poke")
    paired = clip_list(poke, _videos(3, 5000), paired=True)
    assert [clip.video for clip in paired.clips[:4]] == ["video_0000", "video_0001", "video_0002", "video_0000"]
    assert clip_list(poke, _videos(3, 5000)).clips == paired.clips[:1000]
    assert clip_list(poke, _videos(3, 5000), limit=10).clips == paired.clips[:10]
    assert paired.distinct(8000) == 8000


def test_spare_clips_are_as_many_others() -> None:
    for name, videos in (("iper", _videos(40, 1200)), ("dtdb", _videos(20, 200)), ("landscape", _videos(20, 90))):
        listed = clip_list(get_protocol(name), videos, seed=1)
        spare = spare_clips(get_protocol(name), videos, 1, listed.clips)
        assert len(set(spare.clips)) == len(spare) == len(listed)
        assert not set(spare.clips) & set(listed.clips)
    poke = get_protocol("poke")
    listed = clip_list(poke, _videos(3, 5000), paired=True)
    assert spare_clips(poke, _videos(3, 5000), 0, listed.clips[:1000]).clips == listed.clips[1000:2000]
    few = clip_list(poke, _videos(3, 5000), limit=10).clips
    assert spare_clips(poke, _videos(3, 5000), 0, few).clips == listed.clips[10:20]


def test_a_split_without_as_many_clips_has_no_spare_ones() -> None:
    for name, videos in (("bair", _videos(256, 30)), ("landscape", _videos(20, 33)), ("iper", _videos(2, 600))):
        assert not spare_clips(get_protocol(name), videos, 0, clip_list(get_protocol(name), videos).clips).clips


def test_stride() -> None:
    strided = dataclasses.replace(get_protocol("poke"), stride=2)
    clip = clip_list(strided, [("a", 21)]).clips[0]
    assert list(clip.indices) == list(range(0, 21, 2))
    with pytest.raises(UserError) as raised:
        clip_list(strided, [("a", 20)])
    assert (raised.value.field, raised.value.value) == ("protocol", "poke")


def test_names() -> None:
    with pytest.raises(UserError) as raised:
        clip_list(get_protocol("bair"), [("b", 30), ("a", 30), ("b", 40)])
    assert (raised.value.field, raised.value.value) == ("videos", "b")
    with pytest.raises(UserError) as raised:
        get_protocol("kinetics")
    assert (raised.value.field, raised.value.value) == ("protocol", "kinetics")
    with pytest.raises(UserError) as raised:
        get_metric("kvd")
    assert (raised.value.field, raised.value.value) == ("metrics", "kvd")


def test_metrics_of_a_protocol_fit_its_clips() -> None:
    for protocol in protocols().values():
        for metric in protocol.metrics:
            assert METRICS[metric].fits(scoring.scored_frames(METRICS[metric], protocol))


def test_conventions_of_the_papers() -> None:
    corners = {name: item.preprocessing.corners for name, item in METRICS.items()}
    assert {name for name, rule in corners.items() if rule == "tf1_legacy"} == {"fvd", "diversity_i3d"}
    assert corners["pfvd"] == corners["dtfvd_16"] == corners["dtfvd_32"] == "aligned"
    assert METRICS["fvd"].min_frames == 9
    thousandfold = {name for name, item in METRICS.items() if item.printed_times == 1000}
    assert thousandfold == {f"diversity_dti3d_{frames}{end}" for frames in (16, 32) for end in ("", "_release")}


def test_the_release_takes_other_features_of_dynamic_textures() -> None:
    """The default are the paper's logits; the authors' scripts use the pooled features."""
    for metric in ("dtfvd_16", "dtfvd_32", "diversity_dti3d_16", "diversity_dti3d_32"):
        assert (METRICS[metric].layer, METRICS[release_name(metric)].layer) == ("logits", "pooled")
        assert release_name(metric) == f"{metric}_release"
    assert release_name("fid_per_frame") == "fid_per_frame_release"
    assert release_name("fvd") == "fvd"


def test_printed_numbers() -> None:
    def value(data: str, metric: str, method: str, size: int, source: str) -> float:
        (row,) = [
            row for row in published(data, metric=metric, size=size) if (row.method, row.source) == (method, source)
        ]
        return row.value

    ours = "cINN (paper)"
    assert value("bair", "fvd", ours, 64, "cINN paper, table 4") == 99.3
    assert value("bair", "fvd", "Video Transformer", 64, "cINN paper, table 4") == 94
    assert value("bair", "fvd", "MAGVIT-L", 64, "the methods' own papers") == 62
    assert value("landscape", "dtfvd_32_release", ours, 128, "cINN paper, table 1") == 0.59
    assert value("iper", "diversity_i3d", f"{ours} without x0", 64, "cINN paper, table 2") == 2.15
    assert value("dtdb_waterfall", "fid_release", ours, 128, "cINN paper, table 3") == 66.8
    assert value("dtdb_clouds", "diversity_dti3d_16_release", ours, 128, "cINN paper, table 5") == 1.51
    assert value("human36m", "fvd", "poke (paper)", 64, "poke paper, table 1") == 107.73
    assert value("taichi", "ssim", "Hao et al.", 128, "poke paper, table 2") == 0.78
    assert value("iper", "fvd", "poke (released weights)", 128, "poke release") == 220.34
    assert value("poking_plants", "fvd", "iPOKE", 64, "iPOKE paper") == 56.59


def test_printed_numbers_are_told_apart() -> None:
    keys = [(row.source, row.method, row.data, row.size, row.metric) for row in PUBLISHED]
    assert len(set(keys)) == len(keys)
    assert {row.metric for row in PUBLISHED} <= METRICS.keys()
    assert (
        {row.protocol for row in PUBLISHED} == {"", "bair", "dtdb", "iper", "landscape", "poke"} <= {"", *protocols()}
    )
    assert all(row.protocol in {"poke", ""} for row in PUBLISHED if "poke" in row.source.lower())
    assert {row.method for row in published("bair", protocol="")} >= {"FitVid", "MCVD"}
    assert not any(row.method == "iPOKE" for row in published("iper", protocol="poke"))


def test_printed_numbers_are_named_as_the_authors_scripts_compute_them() -> None:
    metrics = {row.metric for row in PUBLISHED}
    assert metrics == {release_name(metric) for metric in metrics}


def test_printed_data_sets_are_those_of_configs() -> None:
    textures = [f"dtdb_{texture}" for texture in ("fire", "vegetation", "waterfall", "clouds")]
    arguments = {"dtdb": [f"texture={name.removeprefix('dtdb_')}" for name in textures]}
    modules = (bair, dtdb, human36m, iper, landscape, poking_plants, taichi)
    names = {
        module.get_config(argument).data.name
        for module in modules
        for argument in arguments.get(module.__name__.rpartition(".")[2], [""])
    }
    assert {row.data for row in PUBLISHED} == names
