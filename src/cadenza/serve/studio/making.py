"""One piece, from its beginning to its place in the library, whatever happens: what there is of it is kept.

In: a piece that was handed out and the player of its model. Out: its sound for those who listen, its file, its end in
the queue. A player that is lost in the middle costs time and nothing else: the piece goes back into the line, is made
again from its seed, and those who listen go on where they were.
"""

import logging
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from cadenza.audio import Audio
from cadenza.errors import CadenzaError
from cadenza.serve.studio.asked import Asked
from cadenza.serve.studio.jobs import Queue
from cadenza.serve.studio.library import Library
from cadenza.serve.studio.players import Lost, Order, Player
from cadenza.serve.studio.work import Piece, given_up

log = logging.getLogger("cadenza")


def make(
    piece: Piece, player: Player | None, problem: CadenzaError | None, queue: Queue, library: Library
) -> Callable[[], None]:
    """Make a piece, or find out why it cannot be made. Returns what is to be called once its place is free.

    `problem` is why there is no player.
    """
    made, heard, error = list[np.ndarray](), 0, None
    try:
        for chunk in _play(piece, player, problem, queue, library):
            queue.begin(piece)  # where its player has not said so before
            piece.record = chunk.metadata or piece.record
            if not chunk.num_samples:
                continue
            made.append(chunk.samples)
            new = chunk.samples[
                :, max(0, piece.sound.num_samples - heard) :
            ]  # the rest was heard in an earlier attempt
            heard += chunk.num_samples
            queue.pace.heard(piece.take.id, piece.take.model, chunk.duration_seconds)
            if new.shape[1]:
                piece.sound.push(new, chunk.sample_rate)
            queue.bell.ring()
    except Lost as problem:
        queue.pace.end(piece.take.id)
        log.warning("take %s: %s", piece.take.id, problem)
        if queue.closing:
            return lambda: None
        queue.begin(piece)
        if piece.may_be_tried_again:
            return partial(queue.again, piece)
        error = None if piece.cancelled else given_up(piece.take)
        piece.record = piece.record | {"complete": False}
    except Exception as problem:
        error = told(problem, f"take {piece.take.id}")
        piece.record = piece.record | {"complete": False}
    queue.pace.end(piece.take.id)
    piece.sound.end()
    kept = None
    is_whole = bool(piece.record.get("complete"))
    if piece.sound.chunks and (is_whole or not queue.closing):
        # An earlier attempt may have come further than one that was stopped.
        samples = np.concatenate(made, axis=1) if made and heard >= piece.sound.num_samples else piece.sound.whole()
        try:
            kept = library.keep(piece.take.id, Audio(samples, piece.sound.sample_rate, piece.record))
        except Exception as problem:
            error = error or told(problem, f"take {piece.take.id}")
    if kept is None and queue.closing:
        return lambda: None
    return partial(queue.end, piece, kept, error)


def _play(
    piece: Piece, player: Player | None, problem: CadenzaError | None, queue: Queue, library: Library
) -> Iterator[Audio]:
    """The piece, chunk by chunk; the last one, of no length, says whether it is complete."""
    if problem is not None:
        raise problem
    assert player is not None
    playing = player.play(_order(piece, library))
    queue.plays(piece, playing)
    queue.pace.begin(piece.take.id)
    yield from playing


def _order(piece: Piece, library: Library) -> Order:
    take = piece.take
    if take.source is not None:
        return Order(take.asked, again=library.sound(take.source))
    asked = Asked.model_validate(take.asked)
    prompt, melody = (None if name is None else library.sound(name) for name in (asked.prompt, asked.melody))
    return Order(take.asked, None, prompt, melody)


def told(problem: Exception, what: str) -> str:
    """An error in one line; one that nobody expected is logged with where it came from."""
    if isinstance(problem, CadenzaError):
        return str(problem)
    log.error("%s", what, exc_info=problem)
    line = " ".join(str(problem).split())
    return f"{type(problem).__name__}: {line:.200}, which is no mistake of yours; the log says more"
