"""`cadenza play`: words to the sound card."""

import queue
import sys
import threading
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cadenza.cli import INTERRUPTED
from cadenza.cli.progress import GenerationProgress
from cadenza.cli.values import Device, Precision, Threads, number, set_threads, show_notices, whole_number
from cadenza.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cadenza.audio import Audio

INSTEAD = 'cadenza generate "..." -o FILE writes a file instead'
AHEAD_CHUNKS = 60
"""Made before they are heard, at most: about a minute."""
_LOOK_SECONDS = 0.2


def play(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What to play.")],
    duration: Annotated[float, typer.Option(metavar="S", parser=number, help="Seconds.")] = 30.0,
    seed: Annotated[
        int | None, typer.Option(metavar="N", parser=whole_number, help="Same seed, same music. [default: drawn]")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="M", help="Directory, file or Hub name. [default: the one that comes along]")
    ] = None,
    device: Device = None,
    precision: Precision = None,
    threads: Threads = None,
) -> int:
    """Play music from words on the sound card, while it is made. Ctrl-C ends it.

    cadenza play "warm lo-fi beat with Rhodes piano, 82 bpm"
    """
    show_notices()
    sound_card = _sound_card()
    set_threads(threads)
    from cadenza.loading import load_musicgen

    music = load_musicgen(model, device, precision)
    with GenerationProgress() as progress:
        chunks = music.stream(prompt, duration, seed, progress=progress.update, should_stop=progress.should_stop)
        chosen = _sound(sound_card, chunks, progress)
    if chosen is not None:
        print(f"cadenza: seed {chosen}", file=sys.stderr)
    return INTERRUPTED if progress.stopped else 0


def _sound_card() -> Any:
    """The package that plays. Raises UserError in one line where there is nothing to play on."""
    try:
        import sounddevice
    except ImportError as error:
        raise UserError(f"playing needs the package sounddevice: pip install cadenza[play]; {INSTEAD}") from error
    except OSError as error:  # it is there, the library below it is not
        raise UserError(f"playing needs PortAudio, such as Debian's libportaudio2 ({error}); {INSTEAD}") from error
    try:
        sounddevice.query_devices(kind="output")
    except (sounddevice.PortAudioError, ValueError) as error:
        raise UserError(f"there is no sound card to play on ({str(error).splitlines()[0]}); {INSTEAD}") from error
    return sounddevice


def _sound(sound_card: Any, chunks: "Iterator[Audio]", progress: GenerationProgress) -> int | None:
    """Play the chunks as they come; the model works on meanwhile. Returns the seed."""
    waiting: queue.Queue[Audio | None] = queue.Queue(AHEAD_CHUNKS)
    player: threading.Thread | None = None
    failures: list[Exception] = []
    seed: int | None = None
    try:
        for chunk in chunks:
            if player is None:
                seed = chunk.metadata.get("seed")
                arguments = (sound_card, chunk.sample_rate, chunk.channels, waiting, progress, failures)
                player = threading.Thread(target=_play_all, args=arguments, daemon=True)
                player.start()
            _put(waiting, chunk, player, progress)
            if not player.is_alive():
                break
    finally:
        if player is not None:
            _put(waiting, None, player, progress)
            while player.is_alive():
                player.join(_LOOK_SECONDS)
    if failures:
        raise UserError(f"the sound card gave up ({failures[0]}); {INSTEAD}") from failures[0]
    return seed


def _put(
    waiting: "queue.Queue[Audio | None]", chunk: "Audio | None", player: threading.Thread, progress: GenerationProgress
) -> None:
    """Wait for room, as long as somebody plays."""
    while player.is_alive() and not progress.should_stop():
        try:
            waiting.put(chunk, timeout=_LOOK_SECONDS)
            return
        except queue.Full:
            continue


def _play_all(
    sound_card: Any,
    sample_rate: int,
    channels: int,
    waiting: "queue.Queue[Audio | None]",
    progress: GenerationProgress,
    failures: list[Exception],
) -> None:
    """Until None comes, or somebody has heard enough."""
    try:
        with sound_card.OutputStream(samplerate=sample_rate, channels=channels, dtype="float32") as stream:
            while not progress.should_stop():
                try:
                    chunk = waiting.get(timeout=_LOOK_SECONDS)
                except queue.Empty:
                    continue
                if chunk is None:
                    return  # leaving the stream plays what is left in it
                step = max(1, round(_LOOK_SECONDS * sample_rate))
                for start in range(0, chunk.num_samples, step):
                    if progress.should_stop():
                        break
                    stream.write(chunk.samples[:, start : start + step].T.clip(-1, 1).copy())
            stream.abort()
    except sound_card.PortAudioError as error:
        failures.append(error)
