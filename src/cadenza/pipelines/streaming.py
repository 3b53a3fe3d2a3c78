"""Codes as they are made -> sound as it can be heard, in pieces that join exactly.

In: codes `[B, K, t]`, by and by. Out: audio `[B, C, n]` in the processor's memory: a tenth of a second as soon as the
codec can give it, then pieces twice as long each time up to a second, because decoding is cheapest in large ones.

There is no thread to leave behind: the consumer pulls, and whoever stops pulling stops the work. On CUDA a piece is
decoded on a stream of its own and copied out asynchronously while the language model goes on; it is handed over between
two steps, once it is there. (A second thread could break the capture of the model's graphs.) On a CPU the language
model already keeps every core busy, and decoding takes its turn.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cadenza.codec.base import Codec

FIRST_SECONDS = 0.1  # of sound in the first piece: enough to play while the second is made
LARGEST_SECONDS = 1.0
MOST_UNDER_WAY = 2  # pieces that CUDA may still be decoding before the language model has to wait for them


def piece_sizes(codec: Codec) -> Iterator[int]:
    """Frames of each piece, without end. The first holds what the codec must see ahead as well."""
    size = max(1, round(FIRST_SECONDS * codec.frame_rate))
    largest = max(size, round(LARGEST_SECONDS * codec.frame_rate))
    yield size + math.ceil(codec.lookahead_frames)
    while True:
        size = min(2 * size, largest)
        yield size


def decode_stream(
    codec: Codec, codes: Iterable[Int[Tensor, "B K _"]], num_samples: int
) -> Iterator[Float[Tensor, "B C _"]]:
    """Decode codes as they arrive, and yield `num_samples` samples in all, or fewer if the codes end early.

    Pieces are cut by the count of frames alone, so that a stream and a whole are decoded by the same steps.
    """
    decoder = Decoder(codec)
    sizes = piece_sizes(codec)
    size = next(sizes)
    waiting: list[Tensor] = []
    arrived = 0  # frames that wait
    left = -(-num_samples // codec.hop_length)  # frames not decoded yet
    made = 0  # samples

    def ready(most_under_way: int = MOST_UNDER_WAY) -> Iterator[Tensor]:
        nonlocal made
        for audio in decoder.finished(most_under_way):
            audio = audio[..., : num_samples - made]
            made += audio.shape[2]
            if audio.shape[2]:
                yield audio

    for part in codes:
        waiting.append(part)
        arrived += part.shape[2]
        while left and arrived >= (count := min(size, left)):
            joined = torch.cat(waiting, dim=2)
            waiting, arrived = [joined[:, :, count:]], arrived - count
            left -= count
            size = next(sizes)
            decoder.start(joined[:, :, :count], last=left == 0)
            yield from ready()
        yield from ready()
    if left and waiting:  # stopped early: what has come, and what the codec kept back
        decoder.start(torch.cat(waiting, dim=2), last=True)
    yield from ready(most_under_way=0)


class Piece(NamedTuple):
    """Decoded sound, complete once `done` is (None: already)."""

    audio: Float[Tensor, "B C _"]
    done: torch.cuda.Event | None = None


class Decoder:
    """One streamed decode: pieces go in with `start` and come out of `finished`, in order."""

    def __init__(self, codec: Codec) -> None:
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
