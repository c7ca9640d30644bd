"""What a stage of training compiles to on a mesh: its state's shapes and shardings, and the functions that are jitted.

Only shapes matter here. `training.loop` runs these programs, `planning` compiles them for devices that are not there.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.layout import Format
from jax.sharding import Mesh
from ml_collections import ConfigDict

from i2v_jax.distributed import mesh as meshes
from i2v_jax.tasks.base import Batch, Networks, Task, Update
from i2v_jax.tasks.scaling import batch_ratio, scaled_decay
from i2v_jax.training.optimizers import make_optimizers
from i2v_jax.training.state import TrainState, split, state_formats, state_sharding
from i2v_jax.training.step import make_step
from i2v_jax.training.streams import Stream


class Programs:
    """The programs of one stage on a mesh.

    Attributes:
      state: the shape, type, sharding and layout of every array of the state.
      replicated: the sharding of frozen networks and of metrics.
      over_devices: the sharding of batches.
    """

    def __init__(
        self,
        stage: str,
        task: Task,
        config: ConfigDict,
        mesh: Mesh,
        batch: Mapping[str, jax.ShapeDtypeStruct],
        steps_per_epoch: int,
    ) -> None:
        """`config` is the whole configuration; `batch` has the shapes and types of the global batch."""
        self._task, self._config, self._mesh = task, config, mesh
        fields = config[stage]
        self._accumulate, self._decay = fields.accumulate, scaled_decay(config.train.ema, fields)
        self._optimizers = make_optimizers(task.updates, fields.optimizer, steps_per_epoch, batch_ratio(fields))
        self.replicated, self.over_devices = meshes.replicated(mesh), meshes.batch_sharding(mesh)
        shapes = jax.eval_shape(self._init_state, task.frozen, batch)
        shardings = state_sharding(mesh, shapes, config.mesh)
        self._formats = state_formats(shardings, shapes, mesh.devices.flat[0].platform)
        self.state = jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            shapes,
            self._formats,
        )

    def init(self) -> Any:
        """Returns the jitted function (frozen networks, first batch) -> state before the first step."""
        return jax.jit(self._init_state, out_shardings=self._formats)

    def adopt(self) -> Any:
        """Returns the jitted function that copies a state made elsewhere, in the shardings and layouts of this."""
        return jax.jit(lambda state: jax.tree.map(jnp.copy, state), out_shardings=self._formats)

    def placed(self, state: TrainState) -> TrainState:
        """Returns a state of these shardings in the layouts of this one."""
        if not any(isinstance(leaf, Format) for leaf in jax.tree.leaves(self._formats)):
            return state
        return jax.jit(lambda state: state, out_shardings=self._formats, donate_argnums=0)(state)

    def lower_step(
        self, updates: Sequence[Update], state: Any, frozen: Any, batch: Any, platform: str | None = None
    ) -> jax.stages.Lowered:
        """Returns the program (state, frozen networks, batch) -> (state, metrics) of a step, ready to be compiled.

        Args:
          updates: those that the step performs.
          state, frozen, batch: arrays, or their shapes. The state is donated.
          platform: to compile for; by default that of the devices.
        """
        seed = self._config.seed
        step = make_step(self._task, updates, self._optimizers, self._decay, seed, accumulate=self._accumulate)
        jitted = jax.jit(
            meshes.traced_on(self._mesh, step),
            in_shardings=(self._formats, self.replicated, self.over_devices),
            out_shardings=(self._formats, self.replicated),
            donate_argnums=0,
            # Results overwrite donated arrays of the same shape, in order. If JAX left out the arrays that a step does
            # not read, the orders would differ, and the compiler would copy hundreds of arrays first.
            keep_unused=True,
        )
        return jitted.trace(state, frozen, batch).lower(lowering_platforms=(platform,) if platform else None)

    def _init_state(self, frozen: Networks, batch: Batch) -> TrainState:
        """Returns the state before the first step; data-dependent initialization uses the first batch."""
        task = self._task
        # Hundreds of draws, once: the hardware's generator compiles three times as fast as the default one.
        rng = jax.random.fold_in(jax.random.key(self._config.seed, impl="rbg"), Stream.INIT)
        networks = task.init_variables(rng, batch)
        networks = task.data_init({**networks, **frozen}, batch, rng)
        if self._config.dtype == "float64":  # otherwise parameters are float32, whatever the computation uses
            networks = jax.tree.map(_in_double, networks)
        params, model_state = split({name: networks[name] for name in task.modules})
        users = {update.opt_state_key(name): name for update in task.updates for name in update.networks}
        opt_state = {key: self._optimizers[key].init(params[name]) for key, name in users.items()}
        keep_average = self._config.train.ema > 0
        ema = {name: params[name] for name in task.ema_networks if keep_average}
        return TrainState(jnp.zeros((), jnp.int32), params, model_state, opt_state, ema)


def distinct_steps(updates: Sequence[Update], steps: int) -> list[tuple[Update, ...]]:
    """Returns the sets of updates that make up the steps before `steps`, in the order in which they first occur."""
    period = math.lcm(*(update.every for update in updates))
    bounds = {0, *(int(at) for update in updates for at in (update.first_step, update.last_step) if at < steps)}
    found: dict[tuple[str, ...], tuple[Update, ...]] = {}
    for step in sorted({bound + offset for bound in bounds for offset in range(period) if bound + offset < steps}):
        active = tuple(update for update in updates if update.runs_at(step))
        found.setdefault(tuple(update.name for update in active), active)
    return list(found.values())


def _in_double(leaf: jax.Array) -> jax.Array:
    return leaf.astype(jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
