"""Plans a training on machines that are not there: compiles its real programs with their compilers.

    python -m launch.plan --config=bair:devices=16 --config.dtype=bfloat16 --topology=v5e:4x4
    python -m launch.plan --config=bair --stage=video_vae --topology=h100:8,h100:4x8 --batch=64
    python -m launch.plan --config=bair --stage=flow --topology=v5e:4x4 --largest
    python -m launch.plan --config=bair --stage=flow --topology=v5e:4x4 --sweep

Says whether each stage fits, the memory and the arithmetic of each device, what they exchange, and how fast the data
sheet lets it be. Needs no data, weights or accelerator, but the extra plan-tpu or plan-gpu, and up to a minute for each
program. Writes plan.md, index.html, and a JSON file for each plan; what is in --out is not compiled again.
"""

import itertools
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from i2v_jax.launch._app import run

if TYPE_CHECKING:
    from i2v_jax.planning.plan import Plan

CONFIG = flags.DEFINE_string(
    "config", None, "CONFIG: name of a config or a config file, with its arguments after a colon.", required=True
)
FIELDS = flags.DEFINE_multi_string("config.", [], "Sets a field of the configuration, as --config.dtype=bfloat16.")
STAGE = flags.DEFINE_list("stage", [], "Stages to plan; all by default.")
TOPOLOGY = flags.DEFINE_list(
    "topology",
    None,
    "Devices: the chips of a TPU slice, as v5e:16x16, v5p:4x4x4 or v6e:4x4, or nodes x GPUs, as h100:8 or h100:4x8.",
    required=True,
)
BATCH = flags.DEFINE_list("batch", [], "Clips over all devices; by default the batch_size of the stage, rounded up.")
MESH = flags.DEFINE_multi_string("mesh", [], "Devices along the axes, as --mesh=data=4,fsdp=2; by default config.mesh.")
LARGEST = flags.DEFINE_bool("largest", False, "Find the largest batch that fits, to an eighth of it, by compiling.")
SWEEP = flags.DEFINE_bool("sweep", False, "Try meshes and growing batches, and rank them.")
CODE = flags.DEFINE_bool("code", False, "Let the compilers generate code, too, to know how long they take: minutes.")
OUT = flags.DEFINE_string("out", "plans", "Folder for the results.")


def main(argv: Sequence[str]) -> None:
    del argv
    import jax

    jax.config.update("jax_platforms", "cpu")  # no accelerator of this machine is touched
    jax.config.update("jax_enable_compilation_cache", False)  # compile times are part of the plan

    from i2v_jax.config import Field
    from i2v_jax.planning.sweep import Planner, ranked
    from i2v_jax.planning.topology import open_topology
    from i2v_jax.reports.plan_page import write_plans

    folder = pathlib.Path(OUT.value)
    batches = [Field(0, at_least=1).parse("batch", text) for text in BATCH.value]
    planner = Planner(CONFIG.value, FIELDS.value, folder / "plans", CODE.value)
    topologies = [open_topology(name) for name in TOPOLOGY.value]
    plans, found = [], []
    for stage, topology in itertools.product(STAGE.value or planner.config().stages, topologies):
        if SWEEP.value:
            plans += ranked(list(planner.sweep(stage, topology, batches, MESH.value)))
        elif LARGEST.value:
            for mesh in MESH.value or [""]:
                tried = list(planner.largest(stage, topology, mesh))
                plans += tried
                found.append(_largest(stage, topology.name, mesh, tried))
        else:
            asked = itertools.product(batches or [0], MESH.value or [""])
            plans += [planner.plan(stage, topology, batch, mesh) for batch, mesh in asked]
    print(write_plans(folder, plans))
    print(*found, sep="\n", end="\n" * bool(found))
    print(f"wrote {folder / 'plan.md'}, {folder / 'index.html'}")


def _largest(stage: str, topology: str, mesh: str, tried: Sequence["Plan"]) -> str:
    """Returns what a search for the largest batch has found."""
    fitting = max((plan.batch for plan in tried if plan.fits), default=0)
    too_large = min(plan.batch for plan in tried if not plan.fits)
    where = f"{stage} on {topology}{f', {mesh}' * bool(mesh)}"
    return f"{where}: {fitting or 'no'} clips fit, {too_large} do not"


if __name__ == "__main__":
    run(main)
