"""Plans of the papers' data sets on several machines, the pages docs/plans/plans.md and docs/plans/scaling.md.

    python -m benchmarks.plans --topology=h100:8,h100:4x8     (with the extra plan-gpu)
    python -m benchmarks.plans --topology=v5e:4x4 --config=bair --stage=flow --minutes=30     (with the extra plan-tpu)
    python -m benchmarks.plans     (only the pages)

Each program takes up to a minute. What is in --out is not compiled again: a stopped command goes on where it was.
"""

import itertools
import pathlib
import time
from collections.abc import Sequence

from absl import flags

from i2v_jax.launch._app import run

TOPOLOGY = flags.DEFINE_list("topology", [], "Machines to plan for, of TOPOLOGIES.")
CONFIG = flags.DEFINE_list("config", [], "Configurations to plan, of CONFIGS; all by default.")
STAGE = flags.DEFINE_list("stage", [], "Stages to plan; all by default.")
MINUTES = flags.DEFINE_float("minutes", 1e6, "No plan is started after so long.")
OUT = flags.DEFINE_string("out", "docs/plans", "Folder of the plans and of the pages.")

TOPOLOGIES = ("h100:8", "h100:4x8", "v5e:4x4", "v5e:16x16", "v5p:4x4x4", "v6e:4x4")
CONFIGS = ("bair", "landscape", "poking_plants", "iper", "iper:model=poke")
EACH = {"flow": 16, "image_ae": 8, "poke": 4, "video_vae": 8}  # clips of a device, by stage: the fastest to plan first
DEVICES = (8, 32, 256, 1024, 4096)
SCALED = ("h100:8", "v5e:4x4", "v5p:4x4x4", "v6e:4x4")  # what the scaling of a card starts from
OVERRIDES = ["dtype=bfloat16"]


def main(argv: Sequence[str]) -> None:
    del argv
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_compilation_cache", False)

    from i2v_jax.planning.sweep import Planner
    from i2v_jax.planning.topology import open_topology

    folder, begun = pathlib.Path(OUT.value), time.monotonic()
    for name, (spec, stage) in itertools.product(TOPOLOGY.value, stages()):
        if time.monotonic() - begun > 60 * MINUTES.value or stage not in (STAGE.value or EACH):
            continue
        if spec not in (CONFIG.value or CONFIGS):
            continue
        topology = open_topology(name)
        Planner(spec, OVERRIDES, folder).plan(stage, topology, EACH[stage] * len(topology.devices))
    for page in write_pages(folder):
        print(f"wrote {page}")


def stages() -> list[tuple[str, str]]:
    """Returns (configuration, stage), in the order of EACH."""
    from i2v_jax import config_files

    each = [(spec, stage) for spec in CONFIGS for stage in config_files.load(spec).stages]
    return sorted(each, key=lambda pair: list(EACH).index(pair[1]))


def write_pages(folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes the pages from the plans of a folder. Raises UserError for a damaged plan."""
    from i2v_jax import files
    from i2v_jax.planning import records
    from i2v_jax.planning.plan import Plan
    from i2v_jax.reports.plan_page import NOTE, summary

    plans: dict[tuple[str, str, str], list[Plan]] = {}
    for plan in sorted(records.read_all(folder), key=lambda plan: plan.batch):
        plans.setdefault((plan.config, plan.stage, plan.topology), []).append(plan)
    wanted = [(*pair, topology) for pair in sorted(stages()) for topology in TOPOLOGIES]
    missing = [key for key in wanted if key not in plans]
    lines = [f"- {spec}, {stage}: {', '.join(group)}" for (spec, stage), group in _grouped(missing).items()]
    table = summary([plan for key in wanted for plan in plans.get(key, [])])
    compilers = sorted({plan.compiler for same in plans.values() for plan in same})
    pages = {
        "plans.md": [
            "# Plans",
            f"Written by `python -m benchmarks.plans`, in bfloat16. {NOTE} Compilers: {'; '.join(compilers)}.",
            table.markdown(),
            "Not computed:",
            "\n".join(lines) or "- nothing",
        ],
        "scaling.md": ["# Weak scaling", SCALING, *_scaling(plans)],
    }
    for name, paragraphs in pages.items():
        files.write_text(folder / name, "\n\n".join(paragraphs) + "\n")
    return [folder / name for name in pages]


SCALING = (
    "Written by `python -m benchmarks.plans` from the same plans. Each device keeps its clips; only the sum of the "
    "gradients is exchanged, after the backward pass, within pods or nodes and then between them. Slices are as square "
    "as possible. Cores read, augment and batch clips at the rate that docs/performance.md measures for 640x360 JPEG "
    "frames; decoded is what they make of them."
)


def _scaling(plans: dict[tuple[str, str, str], list["Plan"]]) -> list[str]:  # noqa: F821
    from i2v_jax import config_files
    from i2v_jax.config import stage_data
    from i2v_jax.planning.scaling import scale
    from i2v_jax.reports.page import Table

    header = ("devices", "hosts", "batch", "step", "of it communication", "clips/s", "efficiency", "cores a host",
              "decoded a host")  # fmt: skip
    tables = []
    for spec, stage in sorted(stages()):
        data = stage_data(config_files.load(spec), stage)
        for topology in SCALED:
            same = [plan for plan in plans.get((spec, stage, topology), []) if plan.steps]
            if not same:
                continue
            plan = same[-1]
            rows = [
                (
                    f"{each.devices}", f"{each.hosts}", f"{each.batch}", f"{each.step_seconds * 1e3:.1f} ms",
                    f"{each.communication_seconds * 1e3:.1f} ms", f"{each.clips_per_second:.0f}",
                    f"{each.efficiency:.0%}", f"{each.cores_per_host}", f"{each.read_bytes / 1e6:.0f} MB/s",
                )
                for each in (scale(plan, devices, data.frames, data.size) for devices in DEVICES)
            ]  # fmt: skip
            step = " + ".join(plan.steps[-1].updates)
            title = f"## {spec}, {stage} on {plan.card.title}"
            tables += [title, f"Steps of {step}.", Table(header, tuple(rows)).markdown()]
    return tables or ["Nothing is computed yet."]


def _grouped(keys: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str], list[str]]:
    groups: dict[tuple[str, str], list[str]] = {}
    for spec, stage, topology in keys:
        groups.setdefault((spec, stage), []).append(topology)
    return groups


if __name__ == "__main__":
    run(main)
