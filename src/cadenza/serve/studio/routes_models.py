"""Models, the words that they know, and whether all is well."""

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from cadenza import __version__
from cadenza.serve.studio.asked import Health, ModelName, ModelView, SamplingView, Vocabulary
from cadenza.serve.studio.house import Studio, StudioOf

router = APIRouter(tags=["models"])

WAIT_SECONDS = 30.0
"""For a model to be loaded, before the answer is that it still is being."""


@router.get("/v1/models")
def models(studio: StudioOf) -> list[ModelView]:
    """What can be asked for; a model that is not loaded is, when it is needed."""
    return [_view(studio, name) for name in studio.shelf.offers]


@router.post("/v1/models/load")
async def load_model(wanted: ModelName, studio: StudioOf) -> ModelView:
    """Load a model now. One that takes longer than half a minute is `loading` in the answer."""
    name = studio.shelf.find(wanted.name).name
    room = studio.engine.load(name)
    await run_in_threadpool(room.loaded.wait, WAIT_SECONDS)
    if room.error is not None:
        raise room.error
    return _view(studio, name)


@router.post("/v1/models/unload")
def unload_model(wanted: ModelName, studio: StudioOf) -> ModelView:
    """Give back the memory of a model."""
    name = studio.shelf.find(wanted.name).name
    studio.engine.unload(name)
    return _view(studio, name)


@router.get("/v1/vocabulary")
def vocabulary(studio: StudioOf) -> Vocabulary:
    """Words that the studio's own model knows, and prompts to begin with."""
    return studio.shelf.vocabulary()


@router.get("/v1/health")
async def health(studio: StudioOf) -> Health:
    """Whether the studio works: answered at once, without the disk."""
    queued, running = studio.queue.load()
    return Health(
        status="ok",
        version=__version__,
        model=studio.shelf.default,
        ready=studio.engine.state(studio.shelf.default)[0],
        places=studio.engine.places,
        queued=queued,
        running=running,
    )


def _view(studio: Studio, name: str) -> ModelView:
    offer = studio.shelf.offers[name]
    known = offer.sampling
    loaded, loading, error = studio.engine.state(name)
    return ModelView(
        name=name,
        kind="musicgen",
        default=name == studio.shelf.default,
        loaded=loaded,
        loading=loading,
        error=error,
        licence=offer.licence,
        conditions=list(offer.conditions or ()),
        sample_rate=offer.sample_rate,
        max_duration=studio.settings.max_duration_seconds,
        sampling=None
        if known is None
        else SamplingView(guidance=known.guidance, temperature=known.temperature, top_k=known.top_k, top_p=known.top_p),
    )
