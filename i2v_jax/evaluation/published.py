"""Published results with their source and protocol, for the comparison tables.

They have no distance between real sets, no deviation and no hash: they are for orientation, and not records.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class Published:
    """One published result."""

    method: str
    data: str
    size: int  # height and width of the frames
    metric: str  # a name in `metrics.registry`, as the authors' scripts compute it; DTI3D's diversity is times 1000
    value: float
    source: str
    protocol: str  # name of a protocol, or "" if the source used another one or does not say which
    note: str = ""


def _table(
    source: str,
    data: str,
    size: int,
    protocol: str,
    metrics: Sequence[str],
    rows: Mapping[str, Sequence[float | None]],
    note: str = "",
) -> Iterator[Published]:
    for method, values in rows.items():
        for metric, value in zip(metrics, values, strict=True):
            if value is not None:
                yield Published(method, data, size, metric, value, source, protocol, note)


_CINN, _POKE = "cINN paper, table {}", "poke paper, table {}"
_OURS_CINN, _OURS_POKE = "cINN (paper)", "poke (paper)"
_DIVERSITY = ("fvd", "diversity_vgg", "diversity_i3d")
_TEXTURE = ("lpips", "fid_release", "fvd", "dtfvd_16_release", "diversity_vgg")
_QUALITY = ("fvd", "lpips", "psnr", "ssim")
_ABLATION = ("lpips", "psnr", "fvd")

_CINN_ROWS = (
    *_table(_CINN.format(1), "landscape", 128, "landscape",
            ("lpips", "fid_release", "dtfvd_32_release", "fvd", "diversity_vgg", "diversity_i3d"), {
        "MDGAN": (0.49, 68.9, 2.35, 385.1, None, None),
        "DTVNet": (0.35, 74.5, 2.78, 693.4, 0.00, 0.00),
        "DeepLandscape": (0.41, 41.1, 1.73, 351.5, None, None),
        "Animating Landscape": (0.26, 16.4, 1.24, 307.0, 0.97, 0.71),
        _OURS_CINN: (0.23, 10.5, 0.59, 134.4, 0.71, 1.22),
    }),
    *_table(_CINN.format(2), "iper", 64, "iper", _DIVERSITY, {
        "SAVP": (368.6, 0.00, 0.01),
        "SRVP": (336.3, 0.34, 1.01),
        "IVRNN": (191.4, 0.23, 0.57),
        _OURS_CINN: (132.9, 0.50, 1.63),
        f"{_OURS_CINN} without cINN": (180.6, 0.32, 1.21),
        f"{_OURS_CINN} without x0": (381.5, 0.73, 2.15),
        f"{_OURS_CINN} without ADAIN": (156.7, 0.48, 1.60),
    }),
    *_table(_CINN.format(3), "dtdb_fire", 128, "dtdb", _TEXTURE, {
        "DG": (0.18, 29.4, 361.3, 0.40, None),
        "Animating Landscape": (0.28, 48.4, 1475.9, 11.42, 0.74),
        _OURS_CINN: (0.23, 24.2, 376.8, 0.79, 1.10),
    }),
    *_table(_CINN.format(3), "dtdb_vegetation", 128, "dtdb", _TEXTURE, {
        "DG": (0.22, 71.6, 290.3, 0.86, None),
        "Animating Landscape": (0.28, 48.9, 271.0, 1.48, 0.93),
        _OURS_CINN: (0.21, 18.2, 123.8, 0.52, 0.86),
    }),
    *_table(_CINN.format(3), "dtdb_waterfall", 128, "dtdb", _TEXTURE, {
        "DG": (0.25, 143.4, 1680.6, 2.41, None),
        "Animating Landscape": (0.32, 124.3, 1847.8, 5.94, 0.98),
        _OURS_CINN: (0.25, 66.8, 1126.5, 2.52, 0.61),
    }),
    *_table(_CINN.format(3), "dtdb_clouds", 128, "dtdb", _TEXTURE, {
        "DG": (0.17, 73.5, 217.5, 0.40, None),
        "Animating Landscape": (0.27, 38.7, 142.1, 0.76, 1.52),
        _OURS_CINN: (0.25, 18.3, 179.3, 0.73, 0.98),
    }),
    *_table(_CINN.format(4), "bair", 64, "bair", _DIVERSITY, {
        "VideoFlow": (131.0, None, None),
        "SRVP": (141.7, 0.93, 1.65),
        "IVRNN": (121.3, 0.69, 1.13),
        "SAVP": (116.4, 0.98, 1.70),
        "LVT": (125.8, None, None),
        "DVD-GAN": (109.8, None, None),
        "Video Transformer": (94.0, None, None),
        _OURS_CINN: (99.3, 0.98, 1.93),
        f"{_OURS_CINN} without cINN": (134.5, 0.59, 0.94),
        f"{_OURS_CINN} without x0": (272.6, 2.40, 2.48),
        f"{_OURS_CINN} without ADAIN": (131.2, 0.78, 1.73),
    }),
    *_table(_CINN.format(5), "landscape", 128, "landscape", ("diversity_dti3d_32_release",), {
        "Animating Landscape": (1.49,), _OURS_CINN: (3.41,),
    }),
    *(
        row
        for texture, animating, ours in (
            ("fire", 0.36, 1.42), ("vegetation", 0.30, 0.98), ("waterfall", 0.80, 1.11), ("clouds", 1.22, 1.51),
        )
        for row in _table(_CINN.format(5), f"dtdb_{texture}", 128, "dtdb", ("diversity_dti3d_16_release",), {
            "Animating Landscape": (animating,), _OURS_CINN: (ours,),
        })
    ),
)  # fmt: skip

_POKE_ROWS = (
    *(
        row
        for data, savp, ivrnn, srvp, ours in (
            ("poking_plants", 136.81, 184.54, 283.90, 89.67), ("iper", 150.39, 181.50, 245.13, 144.92),
            ("taichi", 309.62, 202.33, 238.71, 171.74), ("human36m", 160.32, 465.55, 174.65, 107.73),
        )
        for row in _table(_POKE.format(1), data, 64, "poke", ("fvd",), {
            "SAVP": (savp,), "IVRNN": (ivrnn,), "SRVP": (srvp,), _OURS_POKE: (ours,),
        })
    ),
    *(
        row
        for data, ours, other in (
            ("poking_plants", (137.78, 0.10, 20.68, 0.78), (361.51, 0.16, 21.28, 0.72)),
            ("iper", (93.28, 0.06, 23.99, 0.91), (235.08, 0.11, 21.09, 0.88)),
            ("taichi", (152.76, 0.12, 20.58, 0.75), (341.79, 0.12, 20.41, 0.78)),
            ("human36m", (100.36, 0.08, 23.71, 0.92), (259.92, 0.10, 22.81, 0.93)),
        )
        for row in _table(_POKE.format(2), data, 128, "poke", _QUALITY, {_OURS_POKE: ours, "Hao et al.": other})
    ),
    *_table(_POKE.format(3), "poking_plants", 64, "poke", _ABLATION, {
        f"{_OURS_POKE} with one RNN": (0.08, 20.92, 175.42),
        f"{_OURS_POKE} without L_traj": (0.07, 21.53, 110.00),
        f"{_OURS_POKE} single-stage": (0.07, 21.41, 115.65),
        f"{_OURS_POKE} full": (0.06, 21.81, 89.67),
    }),
    *_table(_POKE.format(3), "iper", 64, "poke", _ABLATION, {
        f"{_OURS_POKE} with one RNN": (0.07, 23.02, 250.64),
        f"{_OURS_POKE} without L_traj": (0.05, 22.82, 203.26),
        f"{_OURS_POKE} single-stage": (0.06, 23.09, 220.82),
        f"{_OURS_POKE} full": (0.05, 23.49, 144.92),
    }),
    *_table(_POKE.format(4), "poking_plants", 64, "poke", _ABLATION, {
        f"{_OURS_POKE} N=1": (0.08, 21.13, 170.74),
        f"{_OURS_POKE} N=2": (0.08, 21.15, 138.72),
        f"{_OURS_POKE} N=3": (0.06, 21.81, 89.67),
    }),
    *_table(_POKE.format(4), "iper", 64, "poke", _ABLATION, {
        f"{_OURS_POKE} N=1": (0.07, 22.62, 233.22),
        f"{_OURS_POKE} N=2": (0.06, 23.12, 178.52),
        f"{_OURS_POKE} N=3": (0.05, 23.11, 144.92),
    }),
)  # fmt: skip

_IPOKE_NOTE = "x0 is part of the scored clip"
_OTHER_ROWS = (
    *_table("re-evaluation of the released weights by a user", "bair", 64, "bair", ("fvd",), {
        "cINN (released weights)": (103.7,),
    }),
    *_table("the methods' own papers", "bair", 64, "", ("fvd",), {
        "TrIVD-GAN-FP": (103.0,), "FitVid": (94.0,), "MCVD": (90.0,), "RaMViD": (84.0,), "MAGVIT-B": (76.0,),
        "MAGVIT-L": (62.0,),
    }, note="number of samples and of context frames differ from paper to paper"),
    *(
        row
        for data, poke, ipoke in (
            ("poking_plants", (174.18, 89.76), (63.06, 56.59)), ("iper", (220.34, 144.92), (74.53, 81.49)),
            ("human36m", (129.62, 119.89), (119.77, 111.55)), ("taichi", (167.94, 182.28), (100.69, 96.09)),
        )
        for size, released, successor in zip((128, 64), poke, ipoke, strict=True)
        for row in (
            *_table("poke release", data, size, "poke", ("fvd",), {"poke (released weights)": (released,)}),
            *_table("iPOKE paper", data, size, "", ("fvd",), {"iPOKE": (successor,)}, note=_IPOKE_NOTE),
        )
    ),
)  # fmt: skip

PUBLISHED: tuple[Published, ...] = (*_CINN_ROWS, *_POKE_ROWS, *_OTHER_ROWS)


def published(data: str, *, metric: str = "", size: int = 0, protocol: str | None = None) -> tuple[Published, ...]:
    """Returns the published results on a data set, filtered by metric, frame size and protocol; the papers' first."""
    return tuple(
        row
        for row in PUBLISHED
        if row.data == data
        and (not metric or row.metric == metric)
        and (not size or row.size == size)
        and protocol in (None, row.protocol)
    )
