"""The models that a server offers: each is loaded and compiled when a request names it for the first time."""

import dataclasses
import functools
import os
import pathlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from i2v_jax import bundle, files
from i2v_jax.errors import UserError
from i2v_jax.sampling.stages import model_name
from i2v_jax.serving import examples, links
from i2v_jax.serving.engine import Engine
from i2v_jax.serving.examples import Example
from i2v_jax.serving.metrics import Metrics
from i2v_jax.serving.models import ServedModel, open_model
from i2v_jax.tasks.registry import Selection
from i2v_jax.workdir import read_workdir


class ChangedError(Exception):
    """A work directory holds another model than the one that was loaded from it."""


class ModelFile:
    """The file of a model (`bundle`): the one that it is, or one that is written when it is needed."""

    def __init__(self, workdir: files.PathLike, checkpoint: Selection | None, model: ServedModel) -> None:
        self._workdir, self._checkpoint, self._model = workdir, checkpoint, model
        self._lock = threading.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def name(self) -> str:
        """The name to save it under."""
        return f"{model_name(self._workdir)}{bundle.SUFFIX}"

    def path(self) -> pathlib.Path:
        """Returns where it is on this machine.

        Raises:
            ChangedError: the work directory was trained further since the model was loaded.
        """
        if bundle.is_bundle(self._workdir) and not files.is_in_bucket(self._workdir):
            return bundle.located(self._workdir)
        with self._lock:
            return self._written

    def discard(self) -> None:
        """Removes what was written."""
        if self._folder is not None:
            self._folder.cleanup()

    @functools.cached_property
    def _written(self) -> pathlib.Path:
        from i2v_jax.bundling import write_bundle  # it imports much, for what may never be asked

        self._folder = tempfile.TemporaryDirectory(prefix="i2v_jax-")
        path = pathlib.Path(self._folder.name, self.name)
        if bundle.is_bundle(self._workdir):
            with files.location(self._workdir).open("rb") as source, path.open("wb") as copy:
                shutil.copyfileobj(source, copy)
            return path
        written = write_bundle(self._workdir, path, checkpoint=self._checkpoint)
        if written.card.checkpoint_sha256 != self._model.sha256():
            raise ChangedError("the model was trained further since this server loaded it: restart the server")
        return path


@dataclasses.dataclass(frozen=True)
class Offer:
    """A model under a name."""

    name: str  # in requests and links
    model: ServedModel
    find_examples: Callable[[], Mapping[str, Example]]
    file: ModelFile | None = None

    @property
    def is_bundled(self) -> bool:
        """Whether it comes with the package."""
        return bundle.is_bundled(self.name)

    @functools.cached_property
    def examples(self) -> Mapping[str, Example]:
        """Images that the page offers, by name."""
        return self.find_examples()


class Offers:
    """The models of a server by name, each with an engine that starts when a request names the model."""

    def __init__(self, offers: Sequence[Offer], metrics: Metrics, waiting: int) -> None:
        """`offers`: at least one; the first one is meant if none is named. `waiting`: requests for each model."""
        self._offers = {offer.name: offer for offer in offers}
        self._engines = {offer.name: Engine(offer.model, metrics, waiting) for offer in offers}
        self.first = offers[0]
        metrics.watch(
            waiting=lambda: sum(engine.waiting for engine in self._engines.values()),
            ready=lambda: self.engine(self.first).ready,
        )

    def __iter__(self) -> Iterator[Offer]:
        return iter(self._offers.values())

    def named(self, name: Any = None) -> Offer:
        """Returns a model, the first one for None, and starts its engine. Raises UserError for an unknown name."""
        if name is not None and (not isinstance(name, str) or name not in self._offers):
            raise UserError(f"unknown model {str(name)[:80]!r}: see /v1/models", "model", name)
        offer = self.first if name is None else self._offers[name]
        self.engine(offer).start()
        return offer

    def engine(self, offer: Offer) -> Engine:
        """Returns the engine of a model."""
        return self._engines[offer.name]

    def stop(self) -> None:
        """Ends the threads of all engines and removes files that were written."""
        for engine in self._engines.values():
            engine.stop()
        for offer in self:
            if offer.file is not None:
                offer.file.discard()


def open_offers(
    workdirs: Sequence[files.PathLike],
    checkpoint: Selection | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> list[Offer]:
    """Returns the models of work directories and files, the first one loaded, of the others only the configurations.

    Args:
        workdirs: as of `load.load_generator`.
        checkpoint: of all of them, as of `load.load_generator`.
        folder: with images as examples for all; None: held-out frames of the data set of each.

    Raises:
        UserError: as `load.load_generator` and `examples.from_folder`.
    """
    given = None if folder is None else examples.from_folder(folder)
    offers = []
    for name, workdir in zip(links.names(workdirs), workdirs, strict=True):
        model, data = open_model(workdir, checkpoint), read_workdir(workdir).data
        find = functools.partial(examples.from_data, data) if given is None else functools.partial(dict, given)
        offers.append(Offer(name, model, find, ModelFile(workdir, checkpoint, model)))
    offers[0].model.load()
    return offers
