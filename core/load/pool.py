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
class _Pooled:
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
        self._pooled: OrderedDict[Hashable, _Pooled] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def get(self, key: Hashable, load: Callable[[], LoadedModel]) -> Iterator[LoadedModel]:
        """Lease the model of `key`, and load it if it is not in the pool.

        Two threads that ask for the same key at once share one load. What `load` raises is raised
        here, and the next to ask tries again. NoRoom is raised only if no idle model is left on the
        device, and then reports those in use.
        """
        pooled = self._lease(key, load)
        try:
            assert pooled.loaded is not None
            yield pooled.loaded
        finally:
            with self._lock:
                pooled.leases -= 1
                self._evict()

    def resident(self) -> tuple[Hashable, ...]:
        """The keys of the loaded models, the least recently used first."""
        with self._lock:
            return tuple(key for key, pooled in self._pooled.items() if pooled.loaded is not None)

    def nbytes(self) -> int:
        """The bytes of all loaded models."""
        with self._lock:
            return self._bytes()

    def _lease(self, key: Hashable, load: Callable[[], LoadedModel]) -> _Pooled:
        while True:
            with self._lock:
                pooled = self._pooled.get(key)
                mine = pooled is None
                if pooled is None:
                    pooled = self._pooled[key] = _Pooled()
                pooled.leases += 1
                self._pooled.move_to_end(key)
            if mine:
                self._load(key, pooled, load)
                return pooled
            pooled.ready.wait()
            if pooled.loaded is not None:
                return pooled
            # The thread that loaded it failed and removed it: try to load it here.

    def _load(self, key: Hashable, pooled: _Pooled, load: Callable[[], LoadedModel]) -> None:
        try:
            loaded = self._with_room(load)
        except BaseException:  # whatever it is: the threads that wait for this model must wake
            with self._lock:
                del self._pooled[key]
            pooled.ready.set()
            raise
        with self._lock:
            pooled.loaded = loaded
            self.loads += 1
            self._evict()
        pooled.ready.set()

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
                for key, pooled in self._pooled.items()
                if pooled.loaded is not None
                and pooled.loaded.device == device
                and not pooled.leases
            ]
            for key in idle:
                del self._pooled[key]
        return len(idle)

    def _in_use(self, device: str) -> tuple[int, int]:
        """How many models are on a device, and their bytes."""
        with self._lock:
            sizes = [
                pooled.loaded.nbytes
                for pooled in self._pooled.values()
                if pooled.loaded is not None and pooled.loaded.device == device
            ]
        return len(sizes), sum(sizes)

    def _evict(self) -> None:
        for key, pooled in list(self._pooled.items()):
            if len(self._pooled) <= self.max_models and self._bytes() <= self.max_bytes:
                return
            if pooled.loaded is not None and pooled.leases == 0:
                del self._pooled[key]

    def _bytes(self) -> int:
        return sum(pooled.loaded.nbytes for pooled in self._pooled.values() if pooled.loaded)
