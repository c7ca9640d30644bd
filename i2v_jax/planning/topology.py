"""Devices to compile for that are not there."""

import dataclasses
import importlib.util
import os
from collections.abc import Sequence

import jax
from jax.experimental import topologies

from i2v_jax.distributed.hosts import Hosts, parse_hosts
from i2v_jax.errors import UserError
from i2v_jax.planning.cards import CARDS, Card

_EXTRAS = {"tpu": ("plan-tpu", "libtpu"), "cuda": ("plan-gpu", "jax_cuda12_plugin")}  # extra, a module of it

# What the compiler for GPUs asks about a card: of XLA's h100_sxm.txtpb, with the versions of the wheels of `plan-gpu`.
_H100 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32
  shared_memory_per_block: 49152 shared_memory_per_core: 233472 shared_memory_per_block_optin: 232448
  threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98 device_memory_size: 84942979072
  cuda_compute_capability { major: 9 }
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 patch: 0 }
runtime_version { major: 12 minor: 9 patch: 0 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
# libtpu looks for the metadata server of this machine, its type and its neighbors, and for other processes that use the
# TPU; it complains where there are none. What it compiles for is the topology, whatever these say.
_NO_TPU = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


@dataclasses.dataclass(frozen=True)
class Topology:
    """Devices of one kind and how they are arranged.

    Attributes:
      hosts: which devices they are.
      card: their data sheet.
      devices: to compile for; they cannot run anything.
    """

    hosts: Hosts
    card: Card
    devices: Sequence[jax.Device]

    @property
    def name(self) -> str:
        """As a user writes it, like "v5e:4x4"."""
        return self.hosts.name


def open_topology(name: str) -> Topology:
    """Returns the devices of a name like "v5e:4x4" or "h100:4x8".

    Raises:
      UserError: the name is not understood, the compiler does not know the shape, or its extra is not installed.
    """
    hosts = parse_hosts(name, CARDS)
    card = CARDS[hosts.kind]
    extra, module = _EXTRAS[card.platform]
    if importlib.util.find_spec(module) is None:
        raise UserError(
            f"the compiler for {card.title} is not installed: pip install 'i2v_jax[{extra}]'", "topology", name
        )
    return Topology(hosts, card, _tpu(name) if card.platform == "tpu" else _gpus(hosts))


def _tpu(name: str) -> Sequence[jax.Device]:
    for variable, value in _NO_TPU.items():
        os.environ.setdefault(variable, value)
    try:
        return topologies.get_topology_desc(platform="tpu", topology_name=name).devices
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        raise UserError(f"no topology {name}: {str(error).splitlines()[0]}", "topology", name) from error


def _gpus(hosts: Hosts) -> Sequence[jax.Device]:
    return topologies.get_topology_desc(
        platform="cuda", topology_name="", target_config=_H100, topology=f"{hosts.count}x1x{hosts.per_host}"
    ).devices
