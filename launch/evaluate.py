"""Evaluates a trained model on held-out clips under a protocol.

    python -m launch.evaluate --workdir=RUN --protocol=bair --metrics=fvd,lpips --repeats=5
    python -m launch.evaluate --workdir=RUN --protocol=targets --samples=5 --beside=POKE_RUN

Adds the results to metrics.json and metrics.md in RUN/evaluations/PROTOCOL, and writes the values of each clip, curves
and index.html. The same command continues an evaluation that was interrupted.

The protocol `targets` measures instead where the pokes of held-out clips end, and writes
RUN/evaluations/targets/numbers.json.
"""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from absl import flags
from ml_collections import ConfigDict

from i2v_jax import bundle, files
from i2v_jax.errors import UserError
from i2v_jax.launch import _checkpoint, _processes
from i2v_jax.launch._app import run
from i2v_jax.logs import logger
from i2v_jax.training.interrupt import Interruption

if TYPE_CHECKING:
    from i2v_jax.evaluation.evaluated_model import EvaluatedModel
    from i2v_jax.evaluation.measure import Measured, Request
    from i2v_jax.evaluation.records import Record

WORKDIR = flags.DEFINE_string("workdir", None, "Work directory of a trained model, or its file.", required=True)
PROTOCOL = flags.DEFINE_string(
    "protocol",
    "",
    "bair, iper, landscape, dtdb, poke, sky or folder, which choose clips and frames, or targets, which measures where "
    "pokes end. By default the protocol of the data set. For a model with pokes it is poke, or targets if the true "
    "answers are known, as on plants.",
)
METRICS = flags.DEFINE_list(
    "metrics", [], "Metrics; by default all metrics of the protocol whose pretrained weights are available."
)
RELEASE_QUIRKS = flags.DEFINE_bool(
    "release_quirks", False, "Compute metrics as the scripts of the authors do, where those differ from the papers."
)
CLIPS = flags.DEFINE_integer(
    "clips", 0, "Evaluate only the first N clips; 0 evaluates all clips of the protocol.", lower_bound=0
)
SPLIT = flags.DEFINE_enum(
    "split",
    None,
    ["test", "eval", "train"],
    "Split that the clips come from; by default test, or eval where the authors score it (DTDB with --release_quirks).",
)
SEED = flags.DEFINE_integer("seed", 0, "Random seed of the clip list and of the samples.", lower_bound=0)
REPEATS = flags.DEFINE_integer("repeats", 1, "Number of evaluations, each with new samples.", lower_bound=1)
TEMPERATURE = flags.DEFINE_float("temperature", 1.0, "Standard deviation of the residual.", lower_bound=0)
CONTROL = flags.DEFINE_enum(
    "control", "own", ["own", "random"], "Control of a model that has one: that of the real clip, or a random one."
)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "Clips per batch; does not change the results.", lower_bound=1)
SAVE_EVERY = flags.DEFINE_integer("save_every", 10, "Batches between two saves of the progress.", lower_bound=1)
DATASET = flags.DEFINE_string(
    "dataset", "", "Data set of the clips: one that the model was trained on besides data.name, or any other one."
)
DATA_DIR = flags.DEFINE_string("data_dir", "", "Folder of the prepared data; by default as in training.")
NAME = flags.DEFINE_string("name", "", "Name of the model in tables; by default that of the work directory.")
SAMPLES = flags.DEFINE_integer("samples", 5, "Protocol targets: samples per poke of a cINN.", lower_bound=2)
BESIDE = flags.DEFINE_string(
    "beside", "", "Protocol targets: work directory of a poke model to evaluate on the same pokes."
)
OUT = flags.DEFINE_string(
    "out",
    "",
    "Folder for the results; by default RUN/evaluations/PROTOCOL[_DATASET], or for a file evaluations/NAME/... here.",
)
SHOWN = flags.DEFINE_integer(
    "shown", 4, "Number of best and of worst samples on the page; 0 writes no page.", lower_bound=0
)
TRAIN_CLIPS = flags.DEFINE_integer(
    "train_clips",
    256,
    "Training clips to search for the nearest neighbors of samples; 0 skips the search.",
    lower_bound=0,
)


def main(argv: Sequence[str], interruption: Interruption) -> None:
    del argv
    from i2v_jax.workdir import read_workdir

    with _processes.joined(interruption) as first:
        config = read_workdir(WORKDIR.value)
        _choose_clips(config.data)
        name = PROTOCOL.value or _default_protocol(config)
        if name == "targets":
            _evaluate_targets(config, first)
        else:
            _evaluate(name, first)


def _choose_clips(data: ConfigDict) -> None:
    """Makes the `data` part of a configuration that of the clips to evaluate."""
    from i2v_jax.input.mixture import part_of

    if DATASET.value:
        part = part_of(data, DATASET.value)
        data.name, data.dir = part.name, part.dir
    data.dir = DATA_DIR.value or data.dir


def _default_protocol(config: ConfigDict) -> str:
    """Returns the protocol of the data set, or `targets` or `poke` for a model that needs pokes."""
    from i2v_jax.data.data_set import KnownAnswers
    from i2v_jax.data.protocol import POKE
    from i2v_jax.data.registry import data_set
    from i2v_jax.sampling.load import describe

    known = data_set(config.data.name)
    if not describe(config).pokes:
        return known.protocol.name
    return "targets" if isinstance(known, KnownAnswers) else POKE.name


def _folder(protocol: str) -> pathlib.Path:
    """Returns the folder of the results: in the work directory, or of the file of a model in the current folder."""
    from i2v_jax.sampling.stages import model_name

    name = f"{protocol}_{DATASET.value}" if DATASET.value else protocol
    if OUT.value:
        return files.location(OUT.value)
    if bundle.is_bundle(WORKDIR.value):
        return pathlib.Path("evaluations", model_name(WORKDIR.value), name)
    return files.location(WORKDIR.value) / "evaluations" / name


def _evaluate(name: str, first: bool) -> None:
    """Measures the metrics of a protocol. Raises UserError for metrics that cannot be computed on its clips."""
    from i2v_jax.evaluation.evaluated_model import ControlSource, load_evaluated_model
    from i2v_jax.evaluation.measure import measure
    from i2v_jax.evaluation.results import records_and_refusals
    from i2v_jax.reports.evaluation_page import earlier_records, write_numbers

    model = load_evaluated_model(
        WORKDIR.value,
        name=NAME.value,
        control_source=cast(ControlSource, CONTROL.value),
        temperature=TEMPERATURE.value,
        batch_size=BATCH_SIZE.value,
        checkpoint=_checkpoint.chosen(),
    )
    data = model.config.data
    _choose_clips(data)
    request, folder = _request(name, data), _folder(name)
    earlier = earlier_records(folder)  # fails now rather than after hours if results cannot be added to this folder
    measured = measure(
        model,
        request,
        folder,
        batch_size=BATCH_SIZE.value,
        save_every=SAVE_EVERY.value,
        progress=first,
        earlier=earlier,
    )
    if first:
        records, refused = records_and_refusals(model, measured)
        print(write_numbers(folder, records))
        written = _write_page(folder, model, measured, records)
        measured.state.remove()
        print(f"wrote {', '.join([str(folder / 'metrics.json'), 'metrics.md', *written])}")
        if refused:
            raise UserError("; ".join(map(str, refused)), "metrics", METRICS.value)


def _request(name: str, data: ConfigDict) -> "Request":
    """Returns what to measure. Logs the metrics that are left out because their pretrained weights are missing."""
    from i2v_jax.data.registry import data_set
    from i2v_jax.distributed import processes
    from i2v_jax.evaluation.measure import Request, available_metrics
    from i2v_jax.evaluation.protocols import get_protocol
    from i2v_jax.metrics.registry import release_name

    protocol = dataclasses.replace(get_protocol(name, RELEASE_QUIRKS.value), stride=data.frame_stride)
    if data_set(data.name).whole_motion:
        protocol = protocol.of_whole_videos(data.frames - 1)
    metrics = tuple(METRICS.value)
    if not metrics:
        available, missing = processes.agree(lambda: available_metrics(protocol.metrics))
        metrics = tuple(available)
        for message in missing:
            logger.info(message)
    if RELEASE_QUIRKS.value:
        metrics = tuple(release_name(metric) for metric in metrics)
    return Request(protocol, metrics, SPLIT.value or protocol.split, CLIPS.value, SEED.value, REPEATS.value)


def _write_page(
    folder: pathlib.Path, model: "EvaluatedModel", measured: "Measured", records: Sequence["Record"]
) -> list[str]:
    """Writes the values of each clip and the page. Returns the names of the files."""
    from i2v_jax.reports.evaluation_page import write_clips, write_page

    clips = write_clips(folder, model, measured)
    written = [clips.name] if clips else []
    if SHOWN.value:
        write_page(folder, model, measured, records, shown=SHOWN.value, train_clips=TRAIN_CLIPS.value, progress=True)
        written.append("index.html")
    return written


def _evaluate_targets(config: ConfigDict, first: bool) -> None:
    """Measures where the pokes of held-out clips end. Raises UserError for a model that does not answer to pokes.

    Every process measures all of the clips, which are few: with its part of them, it would draw other samples.
    """
    from i2v_jax.evaluation.poke_measurements import measure, measure_samples
    from i2v_jax.evaluation.poked_clips import CLIPS as DEFAULT_CLIPS
    from i2v_jax.evaluation.poked_clips import held_out
    from i2v_jax.sampling.load import describe, load_generator
    from i2v_jax.sampling.poke import PokeGenerator

    about, data, count = describe(config), config.data, CLIPS.value or DEFAULT_CLIPS
    split = SPLIT.value or "test"
    if not about.pokes:
        raise UserError(
            f"{WORKDIR.value} was not trained with pokes: give another --protocol than targets", "protocol", "targets"
        )
    beside = load_generator(BESIDE.value) if BESIDE.value else None
    if beside is not None and (about.deterministic or not isinstance(beside, PokeGenerator)):
        raise UserError(
            "--beside compares a model that samples with a poke model: evaluate other models by themselves",
            "beside",
            BESIDE.value,
        )
    generator: Any = load_generator(WORKDIR.value, checkpoint=_checkpoint.chosen())
    if about.deterministic:
        measured = measure(generator, held_out(data, count, split))
    else:
        measured = measure_samples(
            generator,
            data,
            count,
            split=split,
            samples=SAMPLES.value,
            seed=SEED.value,
            temperature=TEMPERATURE.value,
            beside=beside,
        )
    if not first:
        return
    for name, value in measured.numbers.items():
        print(f"{name:32s} {value:9.4f}")
    path = _folder("targets") / "numbers.json"
    files.write_text(path, json.dumps({**measured.numbers, "per_frame": measured.curves}, indent=1) + "\n")
    print(f"wrote {path}")


if __name__ == "__main__":
    run(main, buckets=("workdir", "data_dir", "beside", "out"), resumes=True)
