"""Imports between the parts of the project are those that the table of docs/architecture.md allows."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
EVERYTHING = "everything"
SHARED = {"commands", "errors", "files", "interpolation", "logs", "pixels"}  # which any part may import


def allowed_imports():
    """Part -> the parts that it may import, read from the table."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \|[^|]*\| ([^|]+) \|$", text, re.MULTILINE)
    assert len(rows) > 10
    table = {}
    for path, imports in rows:
        name = path.removesuffix(".py").removeprefix("i2v_jax/")
        table[name] = EVERYTHING if imports == EVERYTHING else {*SHARED, *re.findall(r"`([^`]+)`", imports)}
    return table


ALLOWED = allowed_imports()


def part_of(module):
    """The longest row of the table that a dotted name belongs to: 'i2v_jax.models.flow' -> 'models'."""
    path = module.removeprefix("i2v_jax.").replace(".", "/")
    rows = [row for row in ALLOWED if f"{path}/".startswith(f"{row}/")]
    assert rows, f"{module} belongs to no row of docs/architecture.md"
    return max(rows, key=len)


def imports_of(path):
    """(line, dotted name) of every import of a file, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def own_imports():
    """(importing part, imported part, where) of every import of the project by the project."""
    own = {"i2v_jax", "configs", "data", "launch"}
    for package in sorted(own):
        for path in sorted((ROOT / package).rglob("*.py")):
            relative = path.relative_to(ROOT)
            imports = list(imports_of(path))
            if relative.name == "__init__.py" and not imports:
                continue
            dotted = ".".join(relative.with_suffix("").parts)
            part = part_of(dotted if dotted == "i2v_jax.__init__" else dotted.removesuffix(".__init__"))
            for line, name in imports:
                if name.split(".")[0] == "i2v_jax" and name != "i2v_jax" and part_of(name) != part:
                    yield part, part_of(name), f"{relative}:{line} imports {name}"


def test_the_table_names_every_part():
    parts = {
        path.stem for path in (ROOT / "i2v_jax").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert {row.split("/")[0] for row in ALLOWED} == parts


def test_imports_obey_the_table():
    wrong = [
        where for part, other, where in own_imports() if ALLOWED[part] != EVERYTHING and other not in ALLOWED[part]
    ]
    assert not wrong, "not in the table of docs/architecture.md:\n" + "\n".join(wrong)


def test_the_table_allows_no_more_than_there_is():
    used = {(part, other) for part, other, _ in own_imports()}
    spare = [
        f"{part} -> {other}"
        for part, others in ALLOWED.items()
        if others != EVERYTHING
        for other in others - SHARED
        if (part, other) not in used
    ]
    assert not spare


def test_no_part_imports_itself_through_others():
    """Repeatedly removing the parts that import no remaining part removes all of them."""
    left = {part: set() for part in ALLOWED}
    for part, other, _ in own_imports():
        left[part].add(other)
    while free := [part for part, others in left.items() if not others & left.keys()]:
        for part in free:
            del left[part]
    assert not left


@pytest.mark.parametrize("library", ["torch", "tensorflow", "matplotlib"])
def test_heavy_libraries_are_imported_by_functions_only(library):
    """They are extras, or slow to import: a module that imports one at its top would make them a requirement."""
    for path in (ROOT / "i2v_jax").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = (
                    [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                )
                assert library not in {name.split(".")[0] for name in names}, f"{path}:{node.lineno}"
