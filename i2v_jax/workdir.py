"""A work directory: its configuration, `config.json`, and its lock.

Where a trained model is read, the file of one (`bundle`) can stand in for its work directory.

One configuration trains in a work directory. What may differ between two runs there: fields that are declared with
`may_change` (how long, how often, where), and all fields of stages that have no checkpoint yet.
"""

import contextlib
import fcntl
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import ml_collections

from i2v_jax import bundle, files
from i2v_jax.commands import command
from i2v_jax.config import Config, Field, UnknownFieldError, flat
from i2v_jax.config_files import import_plugins
from i2v_jax.errors import UserError
from i2v_jax.logs import logger

PathLike = files.PathLike

# Parts of the names of fields that decide how networks are built: of a stage that was imported, and not trained since,
# only these have to stay.
_NETWORK_SECTIONS = {
    "encoder", "decoder", "network", "model", "temporal_discriminator", "patch_discriminator", "control", "size",
}  # fmt: skip

# The stages with this field, which older configurations lack.
_WITH_REMAT = ("video_vae", "image_ae", "poke", "classifier")


def claim_workdir(config: Config, workdir: PathLike) -> None:
    """Writes `workdir/config.json`, after checking that what was trained there is the same model on the same data.

    Raises:
      UserError: a field differs that a stage with checkpoints was trained with. `field` is the first such field.
    """
    path = files.location(workdir) / "config.json"
    steps = _steps(path.parent)
    if path.is_file() and steps:
        old = read_workdir(workdir)
        different = {
            name: value for name, value in differences(old, config).items() if _matters(name, config, old, steps)
        }
        if different:
            before = flat(old.to_dict())
            fields = "; ".join(
                f"{name}: {before.get(name, 'absent')} there, {'absent' if value is None else value} here"
                for name, value in different.items()
            )
            name, value = next(iter(different.items()))
            raise UserError(
                f"{workdir} was trained with a different configuration ({fields}): use another --workdir", name, value
            )
    files.write_text(path, config.to_json_best_effort(indent=1))


def read_workdir(workdir: PathLike) -> ml_collections.ConfigDict:
    """Returns the configuration that `claim_workdir` wrote, or that of the file of a model, and imports its plugins.

    Raises:
      UserError: there is no configuration, it cannot be read, or a plugin cannot be imported.
    """
    fields = bundle.read_config(workdir) if bundle.is_bundle(workdir) else _read_fields(workdir)
    config = ml_collections.ConfigDict(_with_later_fields(_tuples(fields)))
    import_plugins(config.get("plugins", ()))
    return config


def _read_fields(workdir: PathLike) -> dict[str, Any]:
    path = files.location(workdir) / "config.json"
    try:
        fields = json.loads(path.read_text())
        if not isinstance(fields, dict):
            raise ValueError(f"it holds a {type(fields).__name__}")
        if not isinstance(stages := fields.get("stages"), list):
            raise ValueError("it names no stages")
        for name in (*stages, "data"):
            if not isinstance(fields.get(name), dict):
                raise ValueError(f"{name} is no section")
        return fields
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(
            f"{workdir} is not a work directory (no config.json): train one with {command('train')}",
            "workdir",
            str(workdir),
        ) from error
    except ValueError as error:
        raise UserError(
            f"{path} is no configuration ({error}): copy it from a checkpoint there, "
            "STAGE/checkpoints/STEP/config/metadata, or use another --workdir",
            "workdir",
            str(workdir),
        ) from error


@contextlib.contextmanager
def lock_workdir(workdir: PathLike) -> Iterator[None]:
    """Keeps other processes from training in a work directory, unless it is in a bucket, which has no locks.

    Raises:
      UserError: another process is training there, or the folder cannot be written.
    """
    if files.is_in_bucket(workdir):
        logger.warning(f"{workdir} cannot be locked, as it is in a bucket: start one training there at a time")
        yield
        return
    path = pathlib.Path(workdir) / ".lock"
    with files.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    with file:  # closing it, also by dying, releases the lock
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"another process is training in {workdir}: wait for it, stop it, or use another --workdir",
                "workdir",
                str(workdir),
            ) from error
        except OSError as error:  # Lustre, FUSE and NFS may have no locks
            logger.warning(f"{workdir} cannot be locked ({error.strerror}): do not train there twice at a time")
        yield


def differences(old: ml_collections.ConfigDict, new: Config) -> dict[str, Any]:
    """Returns dotted name -> value in `new` (None: absent) of the fields that differ and decide what is learned."""
    before, after = flat(old.to_dict()), flat(new.to_dict())
    return {
        name: after.get(name)
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name) and not _declaration(name, new).may_change
    }


def _declaration(name: str, config: Config) -> Field:
    """Returns the declaration of a field, an empty one for a field that `config` does not have."""
    try:
        return config.declared(name)
    except UnknownFieldError:
        return Field(None)


def _steps(workdir: pathlib.Path) -> dict[str, set[str]]:
    """Returns stage -> the steps of its checkpoints, for the stages that have any."""
    steps: dict[str, set[str]] = {}
    for checkpoint in workdir.glob("*/checkpoints/[0-9]*"):
        steps.setdefault(checkpoint.parents[1].name, set()).add(checkpoint.name)
    return steps


def _matters(name: str, config: Config, old: ml_collections.ConfigDict, steps: Mapping[str, set[str]]) -> bool:
    """Returns whether a stage with checkpoints depends on a field."""
    if name == "stages":
        return not steps.keys() <= set(config.stages)
    only = _declaration(name, config).stage
    if only and only not in (*old.stages, *config.stages):
        return False
    section = only or name.partition(".")[0]
    stages = {section} & steps.keys() if section in (*old.stages, *config.stages) else steps.keys()
    trained = any(steps[stage] != {"0"} for stage in stages)  # step 0: imported
    return trained or (bool(stages) and bool(_NETWORK_SECTIONS & set(name.split("."))))


def _with_later_fields(fields: Any) -> Any:
    """Adds the fields that there are since a configuration was written, with the values that change nothing."""
    fields = {"select": "latest"} | fields
    if "data" in fields:
        of_jitter = {"hue_forward": 0.0, "kind": "affine"}
        of_data = {"crop_margin": 0, "resize": "area", "eval_starts": "even", "repeats": False, "jitter": of_jitter}
        of_data["mixture"] = {"names": (), "dirs": (), "weights": ()}
        of_data["splits"] = {split: split for split in ("train", "eval", "test")}
        if "poke" in fields["data"]:
            of_sequence = {"shortest": 0, "longest_weight": 20.0, "background_weight": 10.0, "amplitude_cutoff": 0.0}
            of_poke = {"flow_frames": 0, "largest_flow": 0.0, "mask": "none", "mask_size": 0, "patch": "none"}
            of_data["poke"] = {**of_poke, "geometry": {"whole_pixels": False}, "sequence": of_sequence}
        fields["data"] = _completed(fields["data"], of_data)
    for stage in fields.get("stages", ()):
        section = fields.get(stage, {})
        of_stage = {"reference_batch": section.get("batch_size", 0), "accumulate": 1, "drop_last": True}
        if stage in _WITH_REMAT:
            of_stage["remat"] = "none"
        if stage == "poke":
            of_stage |= {"static_decoder_decays": True, "static_epochs": 0, "loss": {"window": 0}}
            of_stage["model"] = {"copies": False}
            of_stage["temporal_discriminator"] = {"scores": "patches"}
        of_stage["optimizer"] = {"scaling": "none", "mu_dtype": "", "plateau_last": False}
        fields[stage] = _completed(section, of_stage)
    return fields


def _completed(fields: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `fields` and those of `defaults` that they lack, in all sections."""
    sections = {
        name: _completed(fields.get(name, {}), default)
        for name, default in defaults.items()
        if isinstance(default, Mapping)
    }
    return {**defaults, **fields, **sections}


def _tuples(value: Any) -> Any:
    """Returns a value with tuples for lists: JSON has no tuples, and configurations have no lists."""
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(value) if isinstance(value, list) else value
