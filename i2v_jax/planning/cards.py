"""The accelerators that plans are made for, with the numbers of their data sheets."""

import dataclasses

from i2v_jax.distributed.hosts import KINDS
from i2v_jax.training.peaks import peak_flops

_GB, _GIB = 1e9, 2**30


@dataclasses.dataclass(frozen=True)
class Card:
    """One accelerator: a TPU chip or a GPU. Rates are per second.

    Attributes:
      title: its name for people.
      platform: "tpu" or "cuda".
      kind: the name that JAX gives such a device.
      float32: the rate of matrix products in float32, as a share of that in bfloat16.
      memory: bytes that a program may use.
      bandwidth: bytes of main memory.
      link: bytes that a device sends over all of its links.
      network: bytes that a device sends to devices that its links do not reach.
      pod: devices that links connect.
      axes: of the grid of a TPU's links; 0: a switch connects all devices.
      ring: chips along an axis from which on its two ends are linked, so that a ring sends in both directions.
      sources: where the numbers come from.
    """

    title: str
    platform: str
    kind: str
    float32: float
    memory: float
    bandwidth: float
    link: float
    network: float
    pod: int
    axes: int
    ring: int
    sources: tuple[str, ...]

    def flops(self, dtype: str) -> float:
        """Returns the operations per second of matrix products in "bfloat16" or "float32"."""
        peak = peak_flops(self.kind)
        assert peak, self.kind
        return peak * (self.float32 if dtype == "float32" else 1.0)


# A TPU computes products of float32 arrays in one pass of bfloat16, an H100 in TensorFloat-32: both are JAX's default.
# Memory of TPUs: what libtpu 0.0.42 allocates of, less half a GiB for the program itself, of which BAIR's first stage
# takes 0.2 GiB. Of a GPU's memory, CUDA, cuDNN and NCCL take a part: 75 GiB are left.
CARDS: dict[str, Card] = {
    "v5e": Card(
        title="TPU v5e", platform="tpu", kind="TPU v5 lite", float32=1.0,
        memory=15.25 * _GIB, bandwidth=819 * _GB, link=200 * _GB, network=3.125 * _GB,
        pod=256, axes=KINDS["v5e"].axes, ring=16,
        sources=(
            "docs.cloud.google.com/tpu/docs/v5e: 197 TFLOP/s, 16 GB, 819 GB/s, ICI 400 GB/s in both directions, "
            "6.4 Tbit/s of network per pod of 256",
        ),
    ),
    "v5p": Card(
        title="TPU v5p", platform="tpu", kind="TPU v5", float32=1.0,
        memory=95.24 * _GIB, bandwidth=2765 * _GB, link=600 * _GB, network=6.25 * _GB,
        pod=8960, axes=KINDS["v5p"].axes, ring=4,
        sources=(
            "docs.cloud.google.com/tpu/docs/v5p: 459 TFLOP/s, 95 GiB, 2765 GB/s, ICI 1200 GB/s in both directions, "
            "50 Gbit/s of network per chip",
        ),
    ),
    "v6e": Card(
        title="TPU v6e", platform="tpu", kind="TPU v6 lite", float32=1.0,
        memory=30.75 * _GIB, bandwidth=1600 * _GB, link=400 * _GB, network=12.5 * _GB,
        pod=256, axes=KINDS["v6e"].axes, ring=16,
        sources=(
            "docs.cloud.google.com/tpu/docs/v6e: 918 TFLOP/s, 32 GB, 1600 GB/s, ICI 3200 Gbit/s, "
            "25.6 Tbit/s of network per pod of 256",
        ),
    ),
    "h100": Card(
        title="NVIDIA H100 SXM", platform="cuda", kind="NVIDIA H100", float32=0.5,
        memory=75 * _GIB, bandwidth=3350 * _GB, link=450 * _GB, network=50 * _GB,
        pod=8, axes=KINDS["h100"].axes, ring=0,
        sources=(
            "NVIDIA H100 data sheet: 989 TFLOP/s (bfloat16, dense), 494 (TF32, dense), 80 GB, 3.35 TB/s, "
            "NVLink 900 GB/s in both directions",
            "NVIDIA DGX H100 data sheet: one 400 Gbit/s adapter for each GPU",
        ),
    ),
}  # fmt: skip
