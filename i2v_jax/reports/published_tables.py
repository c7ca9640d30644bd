"""Writes docs/published.md from `evaluation/published.py`; a test checks that the page is up to date.

python -c "from i2v_jax.reports import published_tables as p; print(p.document(), end='')" > docs/published.md
"""

from collections.abc import Sequence

from i2v_jax.data.protocol import Protocol
from i2v_jax.evaluation.protocols import get_protocol
from i2v_jax.evaluation.published import PUBLISHED, Published
from i2v_jax.metrics.registry import get_metric
from i2v_jax.reports import tables

_INTRODUCTION = """\
# Published results

Values from papers and other sources, under the name of the metric that their scripts compute
([evaluation](evaluation.md)). `launch.report` shows them next to our records of the same metric, data, frame size and
protocol, on test clips, paired as in the authors' scripts; on Landscape and DTDB these are the records of
`--release_quirks`. Published values have no deviation and no hash, so a difference of a few percent means nothing.
DTI3D diversity is multiplied by 1000.

`i2v_jax/reports/published_tables.py` writes this page from `i2v_jax/evaluation/published.py`.
"""
_OTHER = "another or an unknown protocol"


def document() -> str:
    """Returns the whole page as Markdown."""
    used = list(dict.fromkeys(row.protocol for row in PUBLISHED if row.protocol))
    protocols = ["## Protocols", _protocol_table([get_protocol(name, release_quirks=True) for name in used])]
    groups: dict[tuple[str, int, str], list[Published]] = {}
    for row in PUBLISHED:
        groups.setdefault((row.data, row.size, row.protocol), []).append(row)
    sections = [
        part
        for (data, size, protocol), rows in sorted(
            groups.items(), key=lambda item: (item[0][0], -item[0][1], item[0][2])
        )
        for part in (f"## {data}, {size}x{size}, {f'protocol {protocol}' if protocol else _OTHER}", _table(rows))
    ]
    return "\n\n".join([_INTRODUCTION.rstrip(), *protocols, *sections]) + "\n"


def _protocol_table(protocols: Sequence[Protocol]) -> str:
    header = ("protocol", "clips", "starts", "generated frames", "x0 in FVD's clips", "pairing")
    rows = tuple(
        (
            protocol.name,
            f"{protocol.clips or f'{protocol.clips_per_video} per video'}"
            + (f", {protocol.paired_clips} for LPIPS, PSNR, SSIM" if protocol.paired_clips else ""),
            protocol.starts,
            str(protocol.frames),
            "yes" if get_protocol(protocol.name).start_frame_scored else "no",
            protocol.pairing,
        )
        for protocol in protocols
    )
    return tables.Table(header, rows).markdown()


def _table(rows: Sequence[Published]) -> str:
    metrics = list(dict.fromkeys(row.metric for row in rows))
    by_method: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in rows:
        by_method.setdefault((row.method, row.source, row.note), {})[row.metric] = tables.printed_text(row.value)
    header = (
        "method",
        *(f"`{name}` {'↑' if get_metric(name).higher_is_better else '↓'}" for name in metrics),
        "source",
    )
    lines = tuple(
        (method, *(values.get(metric, "") for metric in metrics), f"{source}; {note}" if note else source)
        for (method, source, note), values in by_method.items()
    )
    return tables.Table(header, lines).markdown()
