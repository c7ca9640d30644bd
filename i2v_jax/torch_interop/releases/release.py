"""Converts the networks of a release, in files of torch.save, to a work directory and back."""

import dataclasses
import importlib
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from i2v_jax import files
from i2v_jax.config import Config
from i2v_jax.errors import UserError
from i2v_jax.tasks import registry
from i2v_jax.torch_interop import load_torch, to_torch
from i2v_jax.torch_interop.releases import parity
from i2v_jax.torch_interop.state_dicts import layout, torch_files
from i2v_jax.torch_interop.state_dicts.conversion import NETWORKS
from i2v_jax.training.checkpoint import save_imported
from i2v_jax.workdir import claim_workdir, differences

Stages = dict[str, dict[str, layout.Variables]]  # stage -> network -> variables


@dataclasses.dataclass(frozen=True)
class Preset:
    """One of our config files and its arguments, from which an imported configuration starts."""

    file: str
    get_config: Callable[[str], Config]
    arguments: tuple[str, ...]

    @classmethod
    def of(cls, config: str, *arguments: str) -> "Preset":
        """Returns the spec of a config that `DataSet.config` names, `FILE` or `FILE:ARGUMENTS`, with more arguments."""
        name, _, own = config.partition(":")
        module = importlib.import_module(f"i2v_jax.configs.{name}")
        return cls(f"configs/{name}.py", module.get_config, (*arguments, *filter(None, own.split(","))))

    def config(self) -> Config:
        return self.get_config(",".join(self.arguments))

    def options(self, config: Config) -> list[str]:
        """Returns the options of launch.train that make `config`, with all fields that training depends on."""
        fields = [f"--config.{name}={_written(value)}" for name, value in differences(self.config(), config).items()]
        return [f"--config={self.file}:{','.join(self.arguments)}", *fields]


def _written(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@dataclasses.dataclass(frozen=True)
class Part:
    """A network of the release."""

    network: str  # of `load_torch`
    config: Mapping[str, Any]
    needed: bool = True


@dataclasses.dataclass(frozen=True)
class Imported:
    """A model read from files of the authors."""

    preset: Preset
    config: Config
    stages: Stages
    networks: tuple[parity.NetworkParity, ...]

    def missing(self) -> list[str]:
        """Returns the networks of the configuration that are in no file."""
        built = registry.build(self.config)
        names = [f"{stage}/{name}" for stage in self.config.stages for name in built[stage]]
        return [name for name in names if name.split("/")[1] not in self.stages[name.split("/")[0]]]

    def summary(self) -> str:
        return parity.summary(self.networks, self.missing())


def unsupported(field: str, value: Any, needed: str) -> UserError:
    """Returns the error for a field of a configuration whose model the authors' code does not have."""
    return UserError(f"unsupported value for {field}: {value} (must be {needed} in the authors' code)", field, value)


def load_parts(
    preset: Preset, config: Config, parts: Mapping[str, Part], files: Callable[[str], list[pathlib.Path]]
) -> Imported:
    """Reads every part from the first of its files that exists.

    Args:
      preset, config: of the model.
      parts: the networks, by stage/network.
      files: maps stage/network to the files that may hold it.
    Raises:
      UserError: a needed file is missing, is damaged, or holds another network.
    """
    stages: Stages = {stage: {} for stage in config.stages}
    reports = []
    for name, part in parts.items():
        found = [file for file in files(name) if file.is_file()]
        if not found:
            if part.needed:
                raise UserError(f"there is no file {files(name)[0]} for the {part.network}", value=str(files(name)[0]))
            continue
        state = torch_files.read_state_dict(found[0])
        stage, network = name.split("/")
        stages[stage][network], report = load_part(name, part, found[0], state, parts)
        reports.append(report)
    return Imported(preset, config, stages, tuple(reports))


def load_part(
    name: str, part: Part, file: pathlib.Path, state: Mapping[str, np.ndarray], parts: Mapping[str, Part]
) -> tuple[layout.Variables, parity.NetworkParity]:
    """Returns a network's variables, as NumPy arrays, and its parity. Raises UserError for another network's state."""
    keys = set(layout.without_prefix(state))
    for other in parts.values():
        if keys and keys.isdisjoint(_keys(part)) and keys <= _keys(other):
            raise UserError(f"{file} holds a {other.network} (must be a {part.network})", value=other.network)
    try:
        _, variables = load_torch(part.network, state, part.config)
    except UserError as error:
        raise UserError(f"{file}: {error}", error.field, error.value) from error
    variables = jax.tree.map(np.asarray, variables)
    return variables, parity.compare(name, file.name, part.network, state, variables, part.config)


def _keys(part: Part) -> set[str]:
    return {entry.key for entry in NETWORKS[part.network].entries(part.config)}


def write_workdir(imported: Imported, workdir: pathlib.Path) -> None:
    """Writes a work directory with checkpoint 0 of every stage and `parity.txt`, complete or not at all.

    Raises:
      UserError: the folder is not empty, or cannot be written.
    """
    with files.new_folder(workdir) as folder:
        claim_workdir(imported.config, folder)
        for stage, variables in imported.stages.items():
            save_imported(folder / stage, variables, imported.config)
        report = f"{imported.summary()}\n{parity.listing(imported.networks)}\n"
        (folder / "parity.txt").write_text(report)


def write_parts(
    parts: Mapping[str, Part],
    stages: Mapping[str, Mapping[str, Any]],
    names: Mapping[str, str],
    out: pathlib.Path,
    write_configs: Callable[[pathlib.Path], None],
) -> dict[str, int]:
    """Writes each part as {"epoch": 0, "state_dict": ...} to its file in `out`, and the configs; all or nothing.

    Returns:
      File -> number of keys.
    Raises:
      UserError: the folder is not empty, or cannot be written.
    """
    counts = {}
    with files.new_folder(out) as folder:
        for name, state in states(parts, stages):
            file = folder / names[name]
            file.parent.mkdir(parents=True, exist_ok=True)
            torch_files.write(file, {"epoch": 0, "state_dict": state})
            counts[names[name]] = len(state)
        write_configs(folder)
    return counts


def states(
    parts: Mapping[str, Part], stages: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yields stage/network and its state dict."""
    for name, part in parts.items():
        stage, network = name.split("/")
        yield name, to_torch(part.network, stages[stage][network], part.config)
