"""Codes as they are made -> sound as it can be heard, in pieces that join exactly.

In: codes `[B, K, t]`, by and by. Out: audio `[B, C, n]` in the processor's memory: a tenth of a second as soon as the
codec can give it, then pieces twice as long each time up to a second, because decoding is cheapest in large ones.

There is no thread to leave behind: the consumer pulls, and whoever stops pulling stops the work. On CUDA a piece is
decoded on a stream of its own and copied out asynchronously while the language model goes on; it is handed over between
two steps, once it is there. On a CPU the language model already keeps every core busy, and decoding takes its turn.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cadenza.pipelines.decoding import StepDecoder

FIRST_SECONDS = 0.1  # of sound in the first piece: enough to play while the second is made
LARGEST_SECONDS = 1.0
MOST_UNDER_WAY = 2  # pieces that CUDA may still be decoding before the language model has to wait for them


def piece_sizes(codec: StepDecoder) -> Iterator[int]:
    """Frames of each piece, without end. The first holds what the codec must see ahead as well."""
    size = max(1, round(FIRST_SECONDS * codec.frame_rate))
    largest = max(size, round(LARGEST_SECONDS * codec.frame_rate))
    yield size + math.ceil(codec.lookahead_frames)
    while True:
        size = min(2 * size, largest)
        yield size


def decode_stream(
    codec: StepDecoder, codes: Iterable[Int[Tensor, "B K _"]], num_samples: int
) -> Iterator[Float[Tensor, "B C _"]]:
    """Decode codes as they arrive, and yield `num_samples` samples in all, or fewer if the codes end early."""
    sound = SoundStream(codec, num_samples)
    for part in codes:
        yield from sound.push(part)
    yield from sound.finish()


class SoundStream:
    """Codes in, sound out, `num_samples` in all.

    Pieces are cut by the count of frames alone, so that a stream and a whole are decoded by the same steps.
    """

    def __init__(self, codec: StepDecoder, num_samples: int) -> None:
        self._decoder = Decoder(codec)
        self._sizes = piece_sizes(codec)
        self._size = next(self._sizes)
        self._waiting: list[Tensor] = []
        self._arrived = 0  # frames that wait
        self._left = -(-num_samples // codec.hop_length)  # frames not decoded yet
        self._samples_left = num_samples

    def push(self, codes: Int[Tensor, "B K _"]) -> Iterator[Float[Tensor, "B C _"]]:
        """The next codes; yields what is there to hear now."""
        self._waiting.append(codes)
        self._arrived += codes.shape[2]
        while self._left and self._arrived >= (count := min(self._size, self._left)):
            joined = torch.cat(self._waiting, dim=2)
            self._waiting, self._arrived = [joined[:, :, count:]], self._arrived - count
            self._left -= count
            self._size = next(self._sizes)
            self._decoder.start(joined[:, :, :count], last=self._left == 0)
            yield from self._ready()
        yield from self._ready()

    def poll(self) -> Iterator[Float[Tensor, "B C _"]]:
        """What was being decoded (on CUDA) and is done by now."""
        yield from self._ready()

    def finish(self) -> Iterator[Float[Tensor, "B C _"]]:
        """No more codes come; yields the rest."""
        if self._left and self._waiting:  # stopped early: what has come, and what the codec kept back
            self._decoder.start(torch.cat(self._waiting, dim=2), last=True)
            self._left = 0
        yield from self._ready(most_under_way=0)

    def _ready(self, most_under_way: int = MOST_UNDER_WAY) -> Iterator[Tensor]:
        for audio in self._decoder.finished(most_under_way):
            audio = audio[..., : self._samples_left]
            self._samples_left -= audio.shape[2]
            if audio.shape[2]:
                yield audio


class Piece(NamedTuple):
    """Decoded sound, complete once `done` is (None: already)."""

    audio: Float[Tensor, "B C _"]
    done: torch.cuda.Event | None = None


class Decoder:
    """One streamed decode: pieces go in with `start` and come out of `finished`, in order."""

    def __init__(self, codec: StepDecoder) -> None:
        self.codec = codec
        self.state = codec.new_decode_state()
        self.under_way: deque[Piece] = deque()
        parameter = next(codec.parameters(), None)
        self.device = torch.device("cpu") if parameter is None else parameter.device
        self.stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None

    def start(self, codes: Int[Tensor, "B K _"], last: bool) -> None:
        """Decode the next codes: here and now, or on CUDA behind whatever makes them, without waiting."""
        if self.stream is None:
            audio = self.codec.decode_step(codes.to(self.device), self.state, last)
            self.under_way.append(Piece(audio.cpu()))
            return
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            source = codes.to(self.device, non_blocking=True)
            source.record_stream(self.stream)  # its memory may be used again when this stream is through with it
            audio = self.codec.decode_step(source, self.state, last)
            pinned = torch.empty(audio.shape, dtype=audio.dtype, pin_memory=True)
            pinned.copy_(audio, non_blocking=True)
            self.under_way.append(Piece(pinned, self.stream.record_event()))

    def finished(self, most_under_way: int) -> Iterator[Float[Tensor, "B C _"]]:
        """Pieces that are done; waits for the first ones where more than `most_under_way` are not."""
        while self.under_way:
            audio, done = self.under_way[0]
            if done is not None:
                if len(self.under_way) <= most_under_way and not done.query():
                    return
                done.synchronize()
                audio = audio.clone()  # pinned memory is scarce: a listener may keep the sound for long
            self.under_way.popleft()
            yield audio
