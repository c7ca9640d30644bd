"""How a configuration grows to many devices; docs/scaling.md has the reasons and the numbers of every data set."""

import math

from i2v_jax.config import Config

NODE = 8  # devices with fast links between all of them: a node of GPUs


def scale(config: Config, devices: int = 0) -> None:
    """Makes the batch sizes of a configuration the reference of its other fields, then adapts it to `devices`.

    Batches grow with the square root of the number of devices, and each device gets a power of two of their clips. So
    half of what devices bring goes into the time of a step and half into the number of steps. Learning rates grow with
    the square root of the batch. Moments and averages are shared within nodes.

    Args:
      config: every stage has the batch size that its other fields are for.
      devices: 0: the batch sizes stay.
    """
    for stage in config.stages:
        config[stage].reference_batch = config[stage].reference_batch or config[stage].batch_size
        if devices:
            share = config[stage].reference_batch * math.sqrt(devices) / devices
            config[stage].batch_size = devices * 2 ** max(0, round(math.log2(share)))
            config[stage].optimizer.scaling = "sqrt"
    if devices > 1:
        nodes = devices // NODE if devices % NODE == 0 else 1
        config.mesh.update(replica=nodes, shard_optimizer=True)
