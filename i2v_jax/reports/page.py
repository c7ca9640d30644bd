"""HTML pages of text, figures and numbers. A page and its figures are in one folder and load nothing from elsewhere."""

import dataclasses
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from i2v_jax import files

_STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf8; --ink: #22262b; --soft: #646b74; --rule: #dcd9d3; --card: #fff;
  --series-0: #1f6fb2; --series-1: #c2571a; --series-2: #4d7f2c; --series-3: #8250a0; --series-4: #78643c;
  --series-5: #5a5a5a; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e6e4e0; --soft: #9aa1a9; --rule: #32373c;
  --card: #1c2024; --series-0: #6db3ee; --series-1: #f0945c; --series-2: #9ccb74; --series-3: #c39be0;
  --series-4: #cbb27f; --series-5: #b4b4b4; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 58rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.015em; }
article + article { margin-top: 5rem; }
h2 { font-size: 1.2rem; margin: 3rem 0 .35rem; }
p { max-width: 42rem; margin: 0 0 1rem; }
.lead { color: var(--soft); font-size: 1.08rem; }
code { font: .88em ui-monospace, SFMono-Regular, Menlo, monospace; }
.numbers { display: grid; margin: 1.5rem 0 0;
  grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .75rem; }
.number { background: var(--card); border: 1px solid var(--rule); border-radius: .6rem; padding: .9rem 1rem; }
.number b { display: block; font-size: 1.55rem; font-weight: 600; line-height: 1.25;
  font-variant-numeric: tabular-nums; }
.number span { display: block; color: var(--soft); font-size: .86rem; line-height: 1.4; }
.row { display: grid; gap: .75rem; grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); }
.wheel { max-width: 33rem; }
figure { margin: 0; }
figure video, figure img { display: block; width: 100%; border-radius: .35rem; image-rendering: pixelated; }
figure video { background: var(--rule); }
figcaption { color: var(--soft); font-size: .82rem; line-height: 1.35; margin-top: .3rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .5rem 0; font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; }
summary { cursor: pointer; color: var(--soft); margin: .5rem 0; }
.wide { overflow-x: auto; } table { border-collapse: collapse; margin: .5rem 0 1rem; font-size: .9rem;
  font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .3rem 1.2rem .3rem 0; border-bottom: 1px solid var(--rule); }
td:nth-child(-n+2) { white-space: nowrap; }
tr.printed td { color: var(--soft); }
.row + .charts { margin-top: 1.75rem; }
.charts { display: grid; gap: 1.25rem; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); }
.charts svg { display: block; width: 100%; max-width: 33rem; height: auto; stroke-linejoin: round; }
footer { margin-top: 3.5rem; padding-top: 1rem; border-top: 1px solid var(--rule); color: var(--soft);
  font-size: .86rem; }
@media (max-width: 34rem) { main { padding: 1.5rem 1rem 3rem; } .row { gap: .45rem; }
  .row:not(.wheel) { grid-template-columns: repeat(min(var(--columns), 4), minmax(0, 1fr)); }
  figcaption { font-size: .7rem; } h1 { font-size: 1.5rem; } }
"""


@dataclasses.dataclass(frozen=True)
class Figure:
    """A file of the page and its caption."""

    file: str
    caption: str
    is_video: bool = True


@dataclasses.dataclass(frozen=True)
class Table:
    """Cells of text; `printed` are the indices of rows that come from papers."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    printed: frozenset[int] = frozenset()

    def markdown(self) -> str:
        lines = [self.header, ("---",) + ("--:",) * (len(self.header) - 1), *self.rows]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)

    def html(self) -> str:
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in self.header)
        body = []
        for number, row in enumerate(self.rows):
            kind = ' class="printed"' if number in self.printed else ""
            body.append(f"<tr{kind}>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>")
        return f'<div class="wide"><table><tr>{head}</tr>\n' + "\n".join(body) + "</table></div>"


@dataclasses.dataclass(frozen=True)
class Number:
    """A measured value with its unit, and its meaning."""

    value: str
    meaning: str


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading, a text, figures in rows of `columns`, and charts."""

    title: str
    text: str
    figures: Sequence[Figure] = ()
    columns: int = 4
    kind: str = ""  # a CSS class of the row
    before: str = ""  # trusted HTML above the figures
    charts: Sequence[str] = ()  # SVG elements below the figures, see `i2v_jax.charts.svg`


@dataclasses.dataclass(frozen=True)
class Part:
    """One model: a title, a lead, its main numbers, sections, and a footer that says how it was measured."""

    title: str
    lead: str
    numbers: Sequence[Number]
    sections: Sequence[Section]
    footer: str

    def inside(self, folder: str) -> "Part":
        """Returns the part for a page in the parent of `folder`, which holds the figures."""
        return dataclasses.replace(self, sections=[_inside(section, folder) for section in self.sections])


def _inside(section: Section, folder: str) -> Section:
    figures = [dataclasses.replace(figure, file=f"{folder}/{figure.file}") for figure in section.figures]
    return dataclasses.replace(section, figures=figures)


@dataclasses.dataclass(frozen=True)
class Report:
    """The measurements of one model and its part of a page."""

    numbers: dict[str, float]
    part: Part
    per_frame: dict[str, dict[str, list[float]]] = dataclasses.field(
        default_factory=dict
    )  # metric -> model or baseline -> values


def write_page(folder: Path, reports: Mapping[str, Report]) -> None:
    """Writes `index.html` and `numbers.json` into a folder; its subfolders, named as the reports, hold the figures.

    Raises UserError when a file cannot be written.
    """
    records = {
        name: {**report.numbers, **({"per_frame": report.per_frame} if report.per_frame else {})}
        for name, report in reports.items()
    }
    files.write_text(folder / "numbers.json", json.dumps(records, indent=2) + "\n")
    files.write_text(folder / "index.html", render(*(report.part.inside(name) for name, report in reports.items())))


def render(*parts: Part) -> str:
    """Returns a page titled as its first part. Everything except `before` and `charts` of sections is escaped."""
    body = "\n".join(_part(part) for part in parts)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{html.escape(parts[0].title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def _part(part: Part) -> str:
    tiles = "".join(
        f'<div class="number"><b>{html.escape(number.value)}</b><span>{html.escape(number.meaning)}</span></div>'
        for number in part.numbers
    )
    body = "\n".join(_section(section) for section in part.sections)
    return f"""<article>
<h1>{html.escape(part.title)}</h1>
<p class="lead">{html.escape(part.lead)}</p>
<div class="numbers">{tiles}</div>
{body}
<footer>{html.escape(part.footer)}</footer>
</article>"""


def _section(section: Section) -> str:
    figures = "".join(_figure(figure) for figure in section.figures)
    row = f'<div class="row {section.kind}" style="--columns: {section.columns}">{figures}</div>' if figures else ""
    charts = f'<div class="charts">{"".join(section.charts)}</div>' if section.charts else ""
    return (
        f"<section>\n<h2>{html.escape(section.title)}</h2>\n<p>{html.escape(section.text)}</p>\n"
        f"{section.before}{row}{charts}\n</section>"
    )


def _figure(figure: Figure) -> str:
    file, caption = html.escape(figure.file), html.escape(figure.caption)
    if figure.is_video:
        media = f'<video src="{file}" autoplay loop muted playsinline aria-label="{caption}"></video>'
    else:
        media = f'<img src="{file}" alt="{caption}">'
    return f"<figure>{media}<figcaption>{caption}</figcaption></figure>"
