"""Figures for those who watch over the studio, in the words of Prometheus (text exposition format 0.0.4).

In: what the studio knows of itself at the moment of asking, every answer, and every first sound. Out: `GET /metrics`.
"""

from collections.abc import Iterator

from fastapi import APIRouter, FastAPI, Request, Response
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cadenza.serve.studio.house import Studio

router = APIRouter(include_in_schema=False)

TYPE = "text/plain; version=0.0.4; charset=utf-8"
FIRST_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


@router.get("/metrics")
def metrics(request: Request) -> Response:
    """What Prometheus fetches."""
    watch: Watch = request.app.state.watch
    return Response(generate_latest(watch.registry), media_type=TYPE)


def measure(app: FastAPI, studio: Studio) -> None:
    """Count the answers of a program from now on, and how soon its music is heard."""
    watch = Watch(studio)
    app.state.watch = watch
    app.add_middleware(Counted, watch=watch)


class Watch:
    """The figures of one studio."""

    def __init__(self, studio: Studio) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.answers = Counter(
            "cadenza_http_requests", "Answers.", ["method", "route", "status"], registry=self.registry
        )
        first = Histogram(
            "cadenza_first_audio_seconds",
            "From the moment a take is begun to its first sound.",
            buckets=FIRST_SECONDS,
            registry=self.registry,
        )
        studio.queue.pace.on_first = first.observe
        self.registry.register(_Now(studio))
        ProcessCollector(registry=self.registry)  # memory, processor time, open files


class Counted:
    """Counts answers by route, as ASGI middleware; paths that lead nowhere are one route, however many are tried."""

    def __init__(self, app: ASGIApp, watch: Watch) -> None:
        self.app, self.watch = app, watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in METHODS else "other"
                route = getattr(scope.get("route"), "path", "none")
                self.watch.answers.labels(method, route, str(message["status"])).inc()
            await send(message)

        await self.app(scope, receive, counted)


class _Now(Collector):
    """What is true at the moment of asking."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        facts = self.studio.engine.facts()
        for name, what, value in (
            ("cadenza_places", "Takes that a model makes at once.", facts["places"]),
            ("cadenza_takes_waiting", "Takes in the queue.", facts["waiting"]),
            ("cadenza_takes_running", "Takes that are being made.", facts["running"]),
            ("cadenza_library_bytes", "Size of all takes and uploads.", self.studio.library.size_bytes()),
            ("cadenza_library_quota_bytes", "Size at which the library is full.", self.studio.library.quota_bytes),
        ):
            yield GaugeMetricFamily(name, what, value)
        yield CounterMetricFamily("cadenza_audio_seconds", "Seconds of music made.", facts["seconds_made_total"])
        takes = GaugeMetricFamily("cadenza_library_takes", "Takes by state.", labels=["status"])
        for status, count in self.studio.queue.counts().items():
            takes.add_metric([status], count)
        yield takes
        speed = GaugeMetricFamily(
            "cadenza_real_time_factor", "Seconds of music of one take in a second, lately.", labels=["model"]
        )
        for model, rate in facts["rates"].items():
            speed.add_metric([model], rate)
        yield speed
        loaded = GaugeMetricFamily("cadenza_model_loaded", "1 for models in memory.", labels=["model"])
        copies = GaugeMetricFamily("cadenza_model_replicas", "Copies of a model that play.", labels=["model"])
        for model, replicas in facts["models"].items():
            loaded.add_metric([model], 1)
            copies.add_metric([model], replicas)
        yield from (loaded, copies)
        yield from _graphics_memory()


def _graphics_memory() -> Iterator[GaugeMetricFamily]:
    import torch

    if torch.cuda.is_available():
        yield GaugeMetricFamily("cadenza_cuda_bytes", "Memory of tensors on the GPU.", torch.cuda.memory_allocated())
