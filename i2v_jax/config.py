"""Configuration: strict arguments of config files, and the resolved configuration of a work directory.

A config file has `get_config(argument="")`, where the argument is what follows the colon in
`--config=configs/landscape.py:stage=video_vae,size=64,runlocal`.
"""

import ast
import contextlib
import fcntl
import importlib.util
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ml_collections

from i2v_jax import files
from i2v_jax.commands import command
from i2v_jax.errors import UserError

# What may differ between two runs in one work directory: how long, how often, where; never what is learned. Whole
# parts of names, from the first on; but for `_FIXED`, which decides what a checkpoint holds.
_MAY_CHANGE = (
    "stage", "data.dir", "data.workers", "data.prefetch", "mesh", "train", "video_vae.steps", "video_vae.epochs",
    "image_ae.steps", "image_ae.epochs", "flow.steps", "flow.epochs", "poke.steps", "poke.epochs",
    "classifier.steps", "classifier.epochs",
)  # fmt: skip
_FIXED = ("train.ema",)
# What networks that were imported, and not trained since, are of: parts of names. All else may differ there.
_OF_NETWORKS = {
    "encoder", "decoder", "network", "model", "temporal_discriminator", "patch_discriminator", "control", "stages",
    "size",
}  # fmt: skip


class Arguments:
    """The arguments of a config file: the names it declares, and fields of the config by their dotted names.

    >>> arguments = Arguments("size=64,flow.network.blocks=4,runlocal", size=128, stage="", runlocal=False)
    >>> arguments.size
    64
    """

    def __init__(self, text: str | None, **declared: Any) -> None:
        """Raises UserError for a value of the wrong type of what is declared; for other names `apply` does."""
        self._declared = declared
        self._values = dict(declared)
        self._overrides: dict[str, str] = {}
        for item in filter(None, (text or "").split(",")):
            name, equals, value = item.partition("=")
            if name in declared:
                self._values[name] = parse_value(name, value if equals else "True", declared[name])
            else:
                self._overrides[name] = value if equals else "True"

    def __getattr__(self, name: str) -> Any:
        return self.__dict__["_values"][name]

    def apply(self, config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
        """Sets the fields given by dotted name. Raises UserError for one that the config lacks, or of another type."""
        for path, text in self._overrides.items():
            *parents, leaf = path.split(".")
            node = config
            for parent in parents:
                node = node.get(parent) if isinstance(node, ml_collections.ConfigDict) and parent in node else None
            if not isinstance(node, ml_collections.ConfigDict) or leaf not in node:
                known = ", ".join(sorted(self._declared))
                raise UserError(
                    f"unknown config argument {path!r}: this config takes {known} and its fields by their dotted "
                    "names, like train.ema=0 or flow.network.blocks=4"
                )
            node[leaf] = parse_value(path, text, node[leaf])
        return config


def parse_value(name: str, text: str, like: Any) -> Any:
    """`text` as a value of the type of `like`. Tuples are written with semicolons: "1;2;2". Raises UserError."""
    if isinstance(like, str):
        return text
    try:
        if isinstance(like, bool):
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        if isinstance(like, tuple):
            return tuple(
                _number(part, type(like[0]) if like else float) for part in text.strip("()").split(";") if part
            )
        return _number(text, type(like))
    except (ValueError, KeyError, SyntaxError, TypeError) as error:
        raise UserError(f"config argument {name}={text!r}: a value of type {type(like).__name__} is needed") from error


def _number(text: str, kind: type) -> Any:
    """An integer serves as a float, but no float as an integer: it would be cut."""
    value = ast.literal_eval(text.strip())
    if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
        raise ValueError(text)
    return kind(value)


def check_choices(config: ml_collections.ConfigDict, choices: Mapping[str, Sequence[str]]) -> None:
    """Raises UserError where a field of `choices` (dotted name -> its values) that `config` has is none of them."""
    fields = _flat(config.to_dict())
    for name, allowed in choices.items():
        if name in fields and fields[name] not in allowed:
            raise UserError(f"{name}={fields[name]}: choose {', '.join(allowed)}")


def check_at_least(config: ml_collections.ConfigDict, least: Mapping[str, float]) -> None:
    """Raises UserError where a field of `least` (dotted name -> smallest value) that `config` has is below."""
    fields = _flat(config.to_dict())
    for name, smallest in least.items():
        if name in fields and not fields[name] >= smallest:
            raise UserError(f"{name}={fields[name]}: it must be {smallest} or more")


def load(spec: str) -> ml_collections.ConfigDict:
    """The config that `FILE.py` or `FILE.py:ARGUMENT` stands for, as `--config` reads it. Raises UserError."""
    path, _, argument = spec.partition(":")
    file = pathlib.Path(path)
    if not file.is_file():
        raise UserError(f"no config file {path}: give a file like configs/sky.py (from the folder of the repository)")
    module_spec = importlib.util.spec_from_file_location(f"config_{file.stem}", file)
    assert module_spec is not None and module_spec.loader is not None  # a .py file always has a loader
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module.get_config(argument)


def claim_workdir(config: ml_collections.ConfigDict, workdir: str | os.PathLike[str]) -> None:
    """Writes `workdir/config.json`, or checks that what was trained there is the same model on the same data.

    Of networks that were imported only their build is checked: data, batches, losses and rates are free until a step
    was trained.

    Raises:
      UserError: the work directory belongs to another configuration (the differing fields are named).
    """
    path = pathlib.Path(workdir) / "config.json"
    checkpoints = {checkpoint.name for checkpoint in path.parent.glob("*/checkpoints/[0-9]*")}
    if path.is_file() and checkpoints:
        theirs = read_workdir(workdir)
        there = _flat(theirs.to_dict())
        differing = [
            f"{name}: {there.get(name, 'absent')} there, {'absent' if value is None else value} here"
            for name, value in differences(theirs, config).items()
            if checkpoints != {"0"} or _OF_NETWORKS & set(name.split("."))
        ]
        if differing:
            raise UserError(
                f"{workdir} belongs to another configuration ({'; '.join(differing)}): give another --workdir"
            )
    files.write_text(path, config.to_json_best_effort(indent=1))


def differences(old: ml_collections.ConfigDict, new: ml_collections.ConfigDict) -> dict[str, Any]:
    """Dotted name -> value in `new` (None: absent) of the fields that differ from `old` and decide what is learned."""
    before, after = _flat(old.to_dict()), _flat(new.to_dict())
    return {
        name: after.get(name)
        for name in sorted(set(before) | set(after))
        if _plain(before.get(name)) != _plain(after.get(name)) and not _may_change(name)
    }


def _may_change(name: str) -> bool:
    return name not in _FIXED and any(f"{name}.".startswith(f"{prefix}.") for prefix in _MAY_CHANGE)


@contextlib.contextmanager
def sole_user(workdir: str | os.PathLike[str]) -> Iterator[None]:
    """Keeps other processes out of a work directory, which two would damage.

    Raises:
      UserError: another process is at work there, or it cannot be written.
    """
    path = pathlib.Path(workdir) / ".lock"
    with files.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    with file:  # closing it, also by dying, releases the lock
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"another process is training in {workdir}: wait for it, stop it, or give another --workdir"
            ) from error
        yield


def read_workdir(workdir: str | os.PathLike[str]) -> ml_collections.ConfigDict:
    """The configuration that `claim_workdir` wrote. Raises UserError when there is none or it cannot be read."""
    path = pathlib.Path(workdir) / "config.json"
    try:
        fields = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(
            f"{workdir} is not a work directory (no config.json): train one with {command('train')}"
        ) from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}): restore it, or start in another --workdir") from error
    return ml_collections.ConfigDict(_tuples(fields))


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat.update(_flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value})
    return flat


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    """JSON has no tuples; configs have no lists."""
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(value) if isinstance(value, list) else value
