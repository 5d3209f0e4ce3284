"""The loaded models that a server's sessions share, bounded in number and in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from core.load.loading import LoadedModel
from core.load.room import NoRoom


@dataclass(slots=True)
class _Place:
    """A loaded model, or one that is being loaded, and how many use it."""

    ready: threading.Event = field(default_factory=threading.Event)
    loaded: LoadedModel | None = None
    leases: int = 0


class ModelPool:
    """Loaded models by key, such as a ModelRequest. Safe to use from several threads.

    A model in use is never dropped. Of the others, the least recently used are dropped if there are
    more than `max_models`, or more than `max_bytes` bytes; and all of them on a device are dropped
    if it has no room for another.
    """

    def __init__(self, max_bytes: int, max_models: int = 8) -> None:
        self.max_bytes = max_bytes
        self.max_models = max_models
        self.loads = 0
        self._places: OrderedDict[Hashable, _Place] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def get(self, key: Hashable, load: Callable[[], LoadedModel]) -> Iterator[LoadedModel]:
        """Lease the model of `key`, and load it if it is not in the pool.

        Two threads that ask for the same key at once share one load. What `load` raises is raised
        here, and the next to ask tries again. NoRoom is raised only if no idle model is left on the
        device, and then reports those in use.
        """
        place = self._lease(key, load)
        try:
            assert place.loaded is not None
            yield place.loaded
        finally:
            with self._lock:
                place.leases -= 1
                self._evict()

    def resident(self) -> tuple[Hashable, ...]:
        """The keys of the loaded models, the least recently used first."""
        with self._lock:
            return tuple(key for key, place in self._places.items() if place.loaded is not None)

    def nbytes(self) -> int:
        """The bytes of all loaded models."""
        with self._lock:
            return self._bytes()

    def _lease(self, key: Hashable, load: Callable[[], LoadedModel]) -> _Place:
        while True:
            with self._lock:
                place = self._places.get(key)
                mine = place is None
                if place is None:
                    place = self._places[key] = _Place()
                place.leases += 1
                self._places.move_to_end(key)
            if mine:
                self._load(key, place, load)
                return place
            place.ready.wait()
            if place.loaded is not None:
                return place
            # The thread that loaded it failed and removed the place: try to load it here.

    def _load(self, key: Hashable, place: _Place, load: Callable[[], LoadedModel]) -> None:
        try:
            loaded = self._with_room(load)
        except BaseException:
            with self._lock:
                del self._places[key]
            place.ready.set()
            raise
        with self._lock:
            place.loaded = loaded
            self.loads += 1
            self._evict()
        place.ready.set()

    def _with_room(self, load: Callable[[], LoadedModel]) -> LoadedModel:
        try:
            return load()
        except NoRoom as error:
            # The error's traceback keeps the half-built model alive: without it the memory is free.
            device, full = error.device, error.with_traceback(None)
            full.__context__ = full.__cause__ = None
        if not self._drop_idle(device):
            raise full.with_models_in_use(*self._in_use(device))
        try:
            return load()
        except NoRoom as error:
            raise error.with_models_in_use(*self._in_use(device)) from error.__cause__

    def _drop_idle(self, device: str) -> int:
        """Drop the idle models on a device, and return how many they were."""
        with self._lock:
            idle = [
                key
                for key, place in self._places.items()
                if place.loaded is not None and place.loaded.device == device and not place.leases
            ]
            for key in idle:
                del self._places[key]
        return len(idle)

    def _in_use(self, device: str) -> tuple[int, int]:
        """How many models are on a device, and their bytes."""
        with self._lock:
            sizes = [
                place.loaded.nbytes
                for place in self._places.values()
                if place.loaded is not None and place.loaded.device == device
            ]
        return len(sizes), sum(sizes)

    def _evict(self) -> None:
        for key, place in list(self._places.items()):
            if len(self._places) <= self.max_models and self._bytes() <= self.max_bytes:
                return
            if place.loaded is not None and place.leases == 0:
                del self._places[key]

    def _bytes(self) -> int:
        return sum(place.loaded.nbytes for place in self._places.values() if place.loaded)
