"""Commands and Python examples in the project's Markdown files."""

import dataclasses
import pathlib
import re
import shlex

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "benchmarks/README.md", *(ROOT / "docs").rglob("*.md"), *ROOT.glob("data/*/README.md")]
)
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^|\n)\n((?:    .*\n(?:\n(?=    ))?)+)")
_INLINE = re.compile(r"`((?:python -m|i2v|make|pip install) [^`]*)`")
_PROGRAMS = ("python", "i2v", "make", "sbatch", "launch/tpu/pod.sh", "pip", "curl", "source")


@dataclasses.dataclass(frozen=True)
class Example:
    """A command, or a piece of Python, and where it is written."""

    text: str
    where: str  # "docs/data.md:12"

    @property
    def words(self) -> list[str]:
        """The command as a shell splits it, without its comment."""
        return shlex.split(self.text, comments=True)

    @property
    def module(self) -> str:
        """What the command runs: "launch.train" of both `python -m launch.train` and `i2v train`."""
        if self.words[0] == "i2v":
            return f"launch.{self.words[1]}"
        return self.words[2] if self.words[:2] == ["python", "-m"] else ""

    @property
    def arguments(self) -> list[str]:
        return self.words[2:] if self.words[0] == "i2v" else self.words[3:]


def commands() -> list[Example]:
    """All commands in code blocks, and those in running text that begin with `python -m`, `i2v`, `make` or `pip`."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for language, block, line in _blocks(text):
            if language == "python":
                continue
            joined = re.sub(r"\\\n\s*", lambda match: " " * len(match[0].replace("\n", "")), block)
            for offset, command in enumerate(joined.splitlines()):
                if command.split() and command.split()[0] in _PROGRAMS:
                    found.append(Example(command.strip(), _where(page, line + offset)))
        for match in _INLINE.finditer(_FENCED.sub("", text)):
            found.append(Example(" ".join(match[1].split()), page.relative_to(ROOT).as_posix()))
    return found


def snippets() -> list[Example]:
    """All Python examples, in order."""
    found = []
    for page in PAGES:
        for language, block, line in _blocks(page.read_text()):
            if language == "python" or re.search(r"^(import|from) ", block, re.MULTILINE):
                found.append(Example(block, _where(page, line)))
    return found


def _blocks(text: str) -> list[tuple[str, str, int]]:
    """(language, content, line of its beginning) of fenced and of indented blocks."""
    found = [(match[1], match[2], text.count("\n", 0, match.start()) + 2) for match in _FENCED.finditer(text)]
    blanked = _FENCED.sub(lambda match: "\n" * match[0].count("\n"), text)
    for match in _INDENTED.finditer(blanked):
        block = re.sub(r"^    ", "", match[1], flags=re.MULTILINE)
        found.append(("", block, blanked.count("\n", 0, match.start(1)) + 1))
    return found


def _where(page: pathlib.Path, line: int) -> str:
    return f"{page.relative_to(ROOT).as_posix()}:{line}"
