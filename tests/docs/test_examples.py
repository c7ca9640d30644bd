"""Every command of README and docs parses, every Python example finds its names."""

import ast
import importlib
import json
import re
import subprocess
import sys

import pytest

from tests import compiling
from tests.docs.markdown import ROOT, Example, commands, snippets

_BY_MODULE = {
    module: [example for example in commands() if example.module == module]
    for module in sorted({example.module for example in commands()})
    if module.startswith("launch")
}


@pytest.mark.parametrize("module", _BY_MODULE)
def test_flags_parse_and_configurations_resolve(module: str) -> None:
    examples = [example for example in _BY_MODULE[module] if "--flagfile=" not in example.text]  # tests/test_sweeps.py
    done = subprocess.run(
        [sys.executable, "-m", "tests.docs.parse_flags", module],
        input=json.dumps([example.arguments for example in examples]),
        cwd=ROOT,
        env=compiling.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    messages = zip(examples, json.loads(done.stdout), strict=True)
    wrong = [f"{example.where}: {example.text}\n  {message}" for example, message in messages if message]
    assert not wrong, "\n".join(wrong)


def test_every_entry_point_is_in_the_documentation() -> None:
    modules = {f"launch.{path.stem}" for path in (ROOT / "launch").glob("[a-z]*.py")}
    assert modules == _BY_MODULE.keys()


def test_the_other_commands_name_what_there_is() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    extras = set(re.findall(r'^        "(\w+)": ', (ROOT / "setup.py").read_text(), re.MULTILINE))
    for example in commands():
        words = example.words
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= targets, example
        elif words[0] == "pip":
            assert set(",".join(re.findall(r"\[([\w,]+)\]", example.text)).split(",")) <= {*extras, ""}, example
        elif words[0] == "sbatch":
            assert (ROOT / next(word for word in words[1:] if not word.startswith("--"))).is_file(), example
        elif words[0].endswith(".sh"):
            assert f"\n{words[1]}() {{" in (ROOT / words[0]).read_text(), example
        elif example.module.startswith("benchmarks"):
            source = (ROOT / f"{example.module.replace('.', '/')}.py").read_text()
            for flag in re.findall(r"--(\w+)", " ".join(example.arguments)):
                assert f'"{flag}"' in source or f'"--{flag}"' in source, example


@pytest.mark.parametrize("example", snippets(), ids=lambda example: example.where)
def test_python_examples_import_what_exists_and_define_what_they_use(example: Example) -> None:
    for node in ast.walk(ast.parse(example.text)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                assert hasattr(module, alias.name) or importlib.import_module(f"{node.module}.{alias.name}")
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select=F821,F811,E9", "-"]
    done = subprocess.run(ruff, input=example.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_names_of_this_package_in_the_documentation_exist() -> None:
    missing = [
        f"{document.relative_to(ROOT)}: {name}"
        for document in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
        for name in re.findall(r"`(i2v_jax(?:\.\w+)+)", document.read_text())
        if not _exists(name)
    ]
    assert not missing, "\n".join(missing)


def _exists(name: str) -> bool:
    """Returns whether a dotted name is a module, or an attribute of one."""
    module, _, attribute = name.rpartition(".")
    try:
        return hasattr(importlib.import_module(module), attribute) or bool(importlib.import_module(name))
    except ModuleNotFoundError:
        return False
