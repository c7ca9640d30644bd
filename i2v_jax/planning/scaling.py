"""Weak scaling: what a plan becomes on more devices, each of which keeps its share of the batch."""

import dataclasses
import math

from i2v_jax.distributed.hosts import KINDS
from i2v_jax.planning.communication import all_reduce_seconds
from i2v_jax.planning.plan import Plan

# Frames of 640x360 pixels that one core reads, augments and batches (docs/performance.md).
FRAMES_PER_CORE = 886.0


@dataclasses.dataclass(frozen=True)
class Scaled:
    """A stage on some number of devices."""

    devices: int
    hosts: int
    batch: int
    step_seconds: float
    communication_seconds: float
    clips_per_second: float
    efficiency: float  # clips per second and device, as a share of those without communication
    cores_per_host: int  # that read clips
    read_bytes: float  # decoded pixels per second and host


def scale(plan: Plan, devices: int, frames: int, size: int) -> Scaled:
    """Returns the last program of a plan on `devices` devices, with the plan's clips for each.

    Only the sum of the gradients is exchanged (`mesh.fsdp=1`), after the backward pass.

    Args:
      plan: with data parallelism alone.
      frames, size: of a clip.
    """
    step, each = plan.steps[-1], plan.batch / plan.devices
    alone = dataclasses.replace(plan.seconds(step), communication=0.0).step
    gradients = sum(exchange.bytes for exchange in step.exchanges if exchange.kind == "all-reduce")
    communication = all_reduce_seconds(gradients, plan.card, devices)
    seconds = alone + communication
    rate = devices * each / seconds
    hosts = math.ceil(devices / KINDS[plan.hosts.kind].per_host)
    return Scaled(
        devices=devices,
        hosts=hosts,
        batch=int(devices * each),
        step_seconds=seconds,
        communication_seconds=communication,
        clips_per_second=rate,
        efficiency=alone / seconds,
        cores_per_host=math.ceil(rate / hosts * frames / FRAMES_PER_CORE),
        read_bytes=rate / hosts * frames * size * size * 3,
    )
