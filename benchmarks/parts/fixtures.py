"""The reference fixtures of tests/reference on this device: the authors' outputs, in float32 and in bfloat16.

Float32 is computed without TensorFloat-32 (jax_default_matmul_precision "highest"). Its tolerance is the fixture's, of
gradient norms 1e-3. Bfloat16 has no tolerance in the fixtures, so it follows from how much the network multiplies
rounding errors: the float32 network runs again with its parameters and inputs rounded once, to bfloat16, and `MARGIN`
times the largest change of an output is that output's tolerance; where nothing changes, `MARGIN` times the roundoff
unit of bfloat16. Where one rounding to float32 changes an output by more than the fixture's tolerance, as in a chain of
instance norms over a few pixels, the same applies to float32.
"""

import concurrent.futures
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.parts.fixture_cases import Case, make_case
from benchmarks.parts.results import Results
from tests.reference.fixtures import names

# A computation rounds about four times per layer (its weights, the convolution, the normalization, the sum), where the
# comparison rounds once: independent errors add up to twice as much. And twice for the spread of a largest value.
MARGIN = 4.0
TOLERANCE_OF_GRADIENTS = 1e-3
ROUNDOFF = {"float32": 2.0**-24, "bfloat16": 2.0**-9}
SMALL = ("actnorm_init", "patch_discriminator", "poke_patch_discriminator")
_WITHOUT_GRADIENT = 1e-5  # norms below are zero up to rounding: a norm removes what the bias before it adds
Outputs = dict[str, np.ndarray]


def compare(results: Results, quick: bool) -> None:
    """Adds a row for each fixture; `quick`: for `SMALL`. Several are compiled at a time: nothing is timed here."""
    with concurrent.futures.ThreadPoolExecutor(max(1, min(8, len(os.sched_getaffinity(0)) // 2))) as pool:
        running = {pool.submit(_compare, name): name for name in (SMALL if quick else names())}
        for done in concurrent.futures.as_completed(running):
            name = running[done]
            try:
                results.add("fixtures", name, **done.result())
            except Exception as error:
                results.fail(name, error)


def _compare(name: str) -> dict[str, Any]:
    case = make_case(name)
    if case is None:
        return {"skipped": "needs pretrained weights that are not in the cache"}
    expected = {key: value for key, value in case.expected.items() if _is_compared(key, value)}
    with jax.default_matmul_precision("highest"):
        exact = case.program(jnp.float32)
        outputs = case.outputs(exact, case.variables, case.inputs)
        rounded = {
            dtype: case.outputs(exact, *rounded_once((case.variables, case.inputs), dtype))
            for dtype in ("float32", "bfloat16")
        }
    by_type = {"float32": outputs}
    if case.has_dtype:
        by_type["bfloat16"] = case.outputs(case.program(jnp.bfloat16), case.variables, case.inputs)
    return {dtype: _verdict(case, expected, found, outputs, rounded[dtype], dtype) for dtype, found in by_type.items()}


def _is_compared(key: str, value: np.ndarray) -> bool:
    if "grad_norm/" in key:
        return float(value) > _WITHOUT_GRADIENT
    return not key.endswith(("/shape", "round_trip_max_abs_error"))


def rounded_once(tree: Any, dtype: str) -> Any:
    """Returns the float32 arrays of a tree with the errors that one rounding to `dtype` makes.

    They are float32 already: there, one of twelve entries moves by a unit in the last place, which has the variance of
    a rounding error.
    """
    rng = np.random.default_rng(0)

    def rounded(leaf: Any) -> Any:
        array = np.asarray(leaf)
        if array.dtype != np.float32:
            return array
        if dtype == "bfloat16":
            return np.asarray(jnp.asarray(array).astype(jnp.bfloat16).astype(jnp.float32))
        moved = np.nextafter(array, np.where(rng.random(array.shape) < 0.5, -np.inf, np.inf).astype(np.float32))
        return np.where(rng.random(array.shape) < 1 / 12, moved, array)

    return jax.tree.map(rounded, tree)


def _error(case: Case, key: str, ours: np.ndarray, theirs: np.ndarray, expected: np.ndarray) -> float:
    """Returns the largest difference relative to the largest value, or as a fraction of a gradient's norm."""
    scale = np.max(np.abs(expected))
    if "grad_norm/" in key:
        scale = scale + 1e-3  # 1e-3 relative and 1e-6
    elif key.endswith("_mean_per_frame"):  # the mean of values around zero: relative to these
        scale = np.max(np.abs(case.expected["video"]))
    return float(np.max(np.abs(ours - theirs)) / scale)


def _verdict(
    case: Case, expected: Outputs, found: Outputs, exact: Outputs, rounded: Outputs, dtype: str
) -> dict[str, Any]:
    """Returns the output that comes nearest to its tolerance or exceeds it most, and whether all are within.

    Args:
      case: what is computed.
      expected: the fixture's outputs that are compared.
      found: those in `dtype`.
      exact, rounded: those in float32, and after one rounding to `dtype`.
      dtype: "float32" or "bfloat16".
    """
    changes = {key: _error(case, key, exact[key], rounded[key], value) for key, value in expected.items()}
    # A norm is one number, which one rounding may leave unchanged by chance: the largest change of all norms counts.
    norms = [key for key in changes if "grad_norm/" in key]
    changes.update(dict.fromkeys(norms, max((changes[key] for key in norms), default=0.0)))

    def tolerance(key: str) -> float:
        least = TOLERANCE_OF_GRADIENTS if "grad_norm/" in key else case.tolerance
        return max(least, MARGIN * max(changes[key], ROUNDOFF[dtype]))

    errors = {key: _error(case, key, found[key], value, value) for key, value in expected.items()}
    finite = all(np.isfinite(error) for error in errors.values())
    worst = max(errors, key=lambda key: errors[key] / tolerance(key) if np.isfinite(errors[key]) else np.inf)
    return {
        "within": finite and errors[worst] <= tolerance(worst),
        "worst": worst,
        "error": errors[worst],
        "tolerance": tolerance(worst),
        "rounding": changes[worst],
        "outputs": len(errors),
    }
