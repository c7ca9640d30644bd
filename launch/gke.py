"""Writes the manifest of a training, or of an evaluation, on Google Kubernetes Engine.

    python -m launch.gke --name=bair --topology=v5e:4x4 --image=IMAGE --out=job.yaml \\
        -- --config=bair:devices=16 --workdir=gs://BUCKET/RUN --config.data.dir=gs://BUCKET/PREPARED
    kubectl apply -f job.yaml

The arguments after `--` are those of `launch.train`, or of the command that --command names. The manifest is a JobSet
with one pod per host. JobSet starts all pods again when they were stopped and saved (exit status 75) or a node was
taken away.
"""

import shlex
from collections.abc import Sequence

from absl import flags

from i2v_jax import files
from i2v_jax.errors import UserError
from i2v_jax.launch._app import run

NAME = flags.DEFINE_string("name", None, "Name of the job: small letters, digits and hyphens.", required=True)
TOPOLOGY = flags.DEFINE_string(
    "topology",
    None,
    "Devices: the chips of a TPU slice, as v5e:4x4, v5p:2x2x4 or v6e:4x4, or nodes x GPUs, as h100:4x8.",
    required=True,
)
IMAGE = flags.DEFINE_string("image", None, "Container image, built from the Dockerfile.", required=True)
OUT = flags.DEFINE_string("out", None, "File to write.", required=True)
COMMAND = flags.DEFINE_enum("command", "train", ["train", "evaluate"], "What the pods run.")
SLICES = flags.DEFINE_integer("slices", 1, "Number of TPU slices of this topology.", lower_bound=1)
SPOT = flags.DEFINE_bool("spot", False, "Run on spot nodes, which are cheaper and can be taken away at any time.")
MAX_RESTARTS = flags.DEFINE_integer(
    "max_restarts",
    0,
    "Restarts after a crash or the loss of a host; those after status 75 do not count. Give some with --spot.",
    lower_bound=0,
)
SERVICE_ACCOUNT = flags.DEFINE_string(
    "service_account", "", "Kubernetes service account that may read and write the bucket."
)


def main(argv: Sequence[str]) -> None:
    import yaml

    from i2v_jax import config_files
    from i2v_jax.launch import _jobset

    arguments = argv[1:]
    given = _values(arguments)
    for name in ("config", "workdir") if COMMAND.value == "train" else ("workdir",):
        if not given.get(name):
            raise UserError(f"--{name}=... is missing among the arguments of launch.{COMMAND.value}, after --", name)
    if not files.is_in_bucket(given["workdir"]):
        raise UserError(
            f"--workdir={given['workdir']} is a folder inside a pod, which is lost with the pod: give "
            "gs://BUCKET/FOLDER",
            "workdir",
            given["workdir"],
        )
    if COMMAND.value == "train":
        fields = {name.removeprefix("config."): value for name, value in given.items() if name.startswith("config.")}
        overrides = [f"{name}={value}" for name, value in fields.items()]
        config_files.load(given["config"], overrides)  # fails now rather than in every pod
    job = _jobset.Job(
        NAME.value,
        _jobset.nodes(TOPOLOGY.value, SLICES.value),
        IMAGE.value,
        arguments,
        command=COMMAND.value,
        spot=SPOT.value,
        max_restarts=MAX_RESTARTS.value,
        service_account=SERVICE_ACCOUNT.value,
    )
    files.write_text(OUT.value, yaml.safe_dump(job.manifest(), sort_keys=False))
    print(f"wrote {OUT.value}: {job.nodes.described}. Start it with kubectl apply -f {shlex.quote(OUT.value)}")


def _values(arguments: Sequence[str]) -> dict[str, str]:
    """Returns flag -> value of arguments, as --NAME=VALUE or as two words."""
    values = {}
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-"):
            values[name] = value if equals or following.startswith("-") else following
    return values


if __name__ == "__main__":
    run(main, positional="-- ARGUMENTS of the command that the pods run")
