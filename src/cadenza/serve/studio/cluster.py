"""A Ray cluster as the studio's stage: copies of a model that Ray Serve starts, watches and counts (extra `cluster`).

In: orders. Out: their sound, streamed from whichever copy took them. The front stays what it is on one machine, with
its page, queue and library; only the models are elsewhere. Copies come and go with the number of pieces under way. One
that dies loses nothing: what it was making raises `Lost`, and is made again elsewhere.
"""

import hashlib
import logging
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Any

from cadenza.audio import Audio
from cadenza.errors import CadenzaError, UserError
from cadenza.pipelines.musicgen import MusicGenConfig
from cadenza.serve.studio.models import Shelf
from cadenza.serve.studio.players import Lost, Order, silence
from cadenza.serve.studio.replica import Facts, Recipe, Replica, Sent
from cadenza.serve.studio.settings import StudioSettings

log = logging.getLogger("cadenza")

LOCAL = "local"
"""The address of a cluster that is begun here and ends with the studio."""
_AHEAD = 1
"""Pieces that a copy prepares while all its places are taken."""
_COUNT_SECONDS = 1.0
_CALL_SECONDS = 30.0
_WORD_SECONDS = 3.0
"""For a word to a copy: a full one hears nobody before a place is free, since Ray Serve counts words as pieces."""
_DRAIN_SECONDS = 600.0
"""For a copy that is to end, to end what it plays."""
_OBJECTS_BYTES = 200 * 10**6
"""Memory for what travels, of a cluster that is begun here: pieces of a second are small."""


class Cluster:
    """The stage. Raises UserError without Ray, and where no cluster answers."""

    def __init__(self, shelf: Shelf, settings: StudioSettings, directory: Path) -> None:
        assert settings.cluster is not None
        self._shelf, self._settings = shelf, settings
        self._studio = hashlib.sha256(str(settings.database or directory).encode()).hexdigest()[:8]
        self._is_own = settings.cluster == LOCAL
        self.places = settings.max_replicas * settings.max_requests
        _connect(settings, self._is_own)

    def open(self, name: str) -> "ClusterPlayer":
        """Start copies of a model, as few as may be. Waits until they play."""
        settings, offer = self._settings, self._shelf.find(name)
        threads = max(1, int(settings.replica_cpus))
        recipe = Recipe(name, offer.source, settings.device, settings.precision, settings.max_requests, threads)
        return ClusterPlayer(f"cadenza-{self._studio}-{_short(name)}", recipe, settings)

    def close(self) -> None:
        """Leave; what was begun here ends."""
        import ray

        ray.shutdown()


class ClusterPlayer:
    """The copies of one model."""

    seats = 0
    config: MusicGenConfig
    sample_rate: int

    def __init__(self, app: str, recipe: Recipe, settings: StudioSettings) -> None:
        from ray import serve

        self._app, self._recipe, self._max_replicas = app, recipe, settings.max_replicas
        self._ended = threading.Event()
        self._under_way: set[ClusterPlaying] = set()
        self._lock = threading.Lock()
        self.replicas = settings.min_replicas
        with suppress(Exception):  # of a front that was killed, with its pieces
            serve.delete(app)
        try:
            self.handle = serve.run(_deployment(recipe, settings).bind(recipe), name=app, route_prefix=None)
            facts: Facts = self.handle.facts.remote().result(timeout_s=_CALL_SECONDS)
        except Exception as error:
            self._delete()
            raise CadenzaError(f"{recipe.name} could not be loaded in the cluster: {_line(error)}") from error
        if facts.config is None:
            self._delete()
            raise CadenzaError(f"{facts.error}")
        self.config, self.sample_rate = facts.config, facts.sample_rate
        threading.Thread(target=self._count, name="studio-cluster", daemon=True).start()

    @property
    def places(self) -> int:
        return self.replicas * self._recipe.places

    @property
    def most(self) -> int:
        """One copy's share more than there are copies: Ray Serve starts another when pieces wait, and those who come
        later still take their turns in the queue."""
        return min(self.replicas + 1, self._max_replicas) * (self._recipe.places + _AHEAD)

    @property
    def is_open(self) -> bool:
        return not self._ended.is_set()

    def play(self, order: Order) -> "ClusterPlaying":
        playing = ClusterPlaying(self, order)
        with self._lock:
            self._under_way.add(playing)
        return playing

    def over(self, playing: "ClusterPlaying") -> None:
        with self._lock:
            self._under_way.discard(playing)

    def close(self) -> None:
        self._ended.set()
        with self._lock:
            under_way = list(self._under_way)
        for playing in under_way:
            playing.drop()
        self._delete()
        with suppress(Exception):
            self.handle.shutdown()  # else it goes on to report what waits, and begins a cluster anew for that

    def broadcast(self, method: str, *arguments: Any, seconds: float = _CALL_SECONDS) -> list[Any]:
        """Call a method of every copy."""
        return list(self.handle.broadcast(method, *arguments).results(timeout_s=seconds))

    def _delete(self) -> None:
        from ray import serve

        with suppress(Exception):  # the cluster may be gone
            serve.delete(self._app)

    def _count(self) -> None:
        """How many copies play, from time to time."""
        from ray import serve

        while not self._ended.wait(_COUNT_SECONDS):
            try:
                deployments = serve.status().applications[self._app].deployments
            except Exception as error:
                log.warning("the cluster does not say how many copies play: %s", _line(error))
                self._ended.wait(10 * _COUNT_SECONDS)
                continue
            (status,) = deployments.values()
            running = sum(count for state, count in status.replica_states.items() if state == "RUNNING")
            self.replicas = max(1, running)


class ClusterPlaying:
    """A piece under way in one of the copies."""

    def __init__(self, player: ClusterPlayer, order: Order) -> None:
        self._player = player
        self._name = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._has_come = self._is_cancelled = self._is_dropped = False
        self._is_over = threading.Event()
        self.seconds_made = 0.0
        self._stream = player.handle.options(method_name="play", stream=True).remote(self._name, order)

    def __iter__(self) -> Iterator[Audio]:
        record: dict[str, Any] = {}
        rate = self._player.sample_rate
        try:
            for sent in self._stream:
                assert isinstance(sent, Sent)
                if sent.error is not None:
                    raise CadenzaError(sent.error)
                self._come()
                self.seconds_made = max(self.seconds_made, sent.seconds_made)
                record = record if sent.record is None else sent.record
                yield silence(rate, record) if sent.samples is None else Audio(sent.samples, rate, record)
        except CadenzaError:
            raise
        except Exception as error:
            if self._is_dropped or self._is_cancelled:
                yield silence(rate, record | {"complete": False})
            elif _is_loss(error):
                threading.Thread(target=self._tell, name="studio-cancel", daemon=True).start()  # it may live still
                raise Lost(f"a copy of {self._player.config.name} is lost ({_line(error)})") from error
            else:
                raise
        finally:
            self._is_over.set()
            self._player.over(self)

    def cancel(self) -> None:
        with self._lock:
            if self._is_cancelled:
                return
            self._is_cancelled = True
            stop = self._stop if self._has_come else self._stream.cancel
        threading.Thread(target=stop, name="studio-cancel", daemon=True).start()

    def drop(self) -> None:
        """Let go at once, of what is made too."""
        self._is_dropped = True
        with suppress(Exception):
            self._stream.cancel()

    def _come(self) -> None:
        """A copy has it: from now on cancelling is a word to that copy, so that what it made is sent."""
        with self._lock:
            self._has_come = True

    def _stop(self) -> None:
        """Told to stop, a copy sends all that it made. One that does not hear is cut off, and what was sent is kept."""
        self._tell()
        if not self._is_over.wait(_WORD_SECONDS):
            self._stream.cancel()

    def _tell(self) -> None:
        """All copies, since nobody says which one it is."""
        with suppress(Exception):  # one of them may be gone, and the piece with it
            self._player.broadcast("cancel", self._name, seconds=_WORD_SECONDS)


def _connect(settings: StudioSettings, is_own: bool) -> None:
    """Begin or join a cluster. Raises UserError."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # and none is begun that nobody asked for
    if is_own:
        os.environ.setdefault("RAY_worker_niceness", "0")  # else whatever runs beside the copies goes before them
    try:
        import ray
        from ray import serve
    except ImportError as error:
        raise UserError("a cluster needs Ray: pip install cadenza[cluster]") from error
    address = str(settings.cluster)
    if "://" in address:
        raise UserError(
            f"{address}: sound cannot be streamed that way; run `ray start --address HOST:6379` on this machine and "
            "give --cluster-address auto"
        )
    where: dict[str, Any] = {"address": address}
    if is_own:
        cpus = max(1, ceil(settings.max_replicas * settings.replica_cpus))
        where |= {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": _OBJECTS_BYTES}
        where |= {"_node_ip_address": "127.0.0.1"}
    try:
        logging.getLogger("ray").setLevel(logging.ERROR)
        ray.init(**where, log_to_driver=False, logging_level="ERROR", configure_logging=False)
        gpus = ray.cluster_resources().get("GPU", 0.0)
        if is_own and settings.min_replicas * settings.replica_gpus > gpus:
            raise UserError(
                f"{settings.min_replicas} replicas with {settings.replica_gpus:g} GPUs each: this machine has {gpus:g}"
            )
        hushed = logging.getLogger("ray.serve")
        hushed.setLevel(logging.ERROR)
        serve.start(proxy_location="Disabled")
        hushed.setLevel(logging.ERROR)  # it sets its own when it starts
    except UserError:
        ray.shutdown()
        raise
    except Exception as error:
        ray.shutdown()
        if is_own:
            raise UserError(
                f"Ray does not start here ({_line(error)}): it gives its parts 15 s: try when the machine is idle"
            ) from error
        raise UserError(
            f"no Ray cluster answers at {address} ({_line(error)}): start one with `ray start --head`, and on this "
            "machine too"
        ) from error


def _deployment(recipe: Recipe, settings: StudioSettings) -> Any:
    from ray import serve

    return serve.deployment(
        name="engine",
        max_ongoing_requests=recipe.places + _AHEAD,
        ray_actor_options={
            "num_cpus": settings.replica_cpus,
            "num_gpus": settings.replica_gpus,
            "runtime_env": {"env_vars": {"OMP_NUM_THREADS": str(recipe.threads)}},
        },
        graceful_shutdown_timeout_s=_DRAIN_SECONDS,
        autoscaling_config={
            "min_replicas": settings.min_replicas,
            "initial_replicas": settings.min_replicas,
            "max_replicas": settings.max_replicas,
            "target_ongoing_requests": recipe.places,
            "upscale_delay_s": settings.grow_after_seconds,
            "downscale_delay_s": settings.shrink_after_seconds,
        },
    )(Replica)


def _is_loss(error: Exception) -> bool:
    """Whether the copy is gone, rather than that it says what is wrong."""
    from ray import exceptions
    from ray.serve.exceptions import ReplicaUnavailableError

    gone = (exceptions.RayActorError, exceptions.WorkerCrashedError, exceptions.ObjectLostError)
    return isinstance(error, (*gone, exceptions.TaskCancelledError, ReplicaUnavailableError))


def _short(name: str) -> str:
    """A model's name in letters that everything takes."""
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


def _line(error: BaseException) -> str:
    line = next((line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
    return f"{line.strip():.200}"
