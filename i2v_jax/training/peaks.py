"""The peaks of devices."""

# Dense bfloat16 peaks of the makers' data sheets in FLOP/s, by the name that JAX gives a device, or its first words. A
# device of TPU v2, v3 and 7x is half a chip.
_PEAKS = {
    "TPU v2": 22.5e12,
    "TPU v3": 61.5e12,
    "TPU v4": 275e12,
    "TPU v4 lite": 138e12,
    "TPU v5": 459e12,
    "TPU v5p": 459e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v6 lite": 918e12,
    "TPU v6e": 918e12,
    "TPU7x": 1153.5e12,
    "NVIDIA A100": 312e12,
    "NVIDIA H100": 989e12,  # SXM
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100 NVL": 835e12,
    "NVIDIA H200": 989e12,
    "NVIDIA GH200": 989e12,
    "NVIDIA B200": 2250e12,
    "NVIDIA L4": 121e12,
    "NVIDIA L40S": 362e12,
}


def peak_flops(device_kind: str) -> float | None:
    """Returns the bfloat16 peak of a device in FLOP/s by its `jax.Device.device_kind`, None if it is not known."""
    words = device_kind.replace("-", " ").split()
    names = (" ".join(words[:count]) for count in range(len(words), 0, -1))
    return next((_PEAKS[name] for name in names if name in _PEAKS), None)
