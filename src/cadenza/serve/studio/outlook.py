"""How far a generation is, and when it will be there, as it is told to those who wait.

In: a generation, what waits before it and what is being made. Out: its state, its position, its seconds left.
"""

from collections.abc import Sequence

from cadenza.serve.studio.asked import OVER, Generation, TakeView, moment
from cadenza.serve.studio.pace import Pace
from cadenza.serve.studio.work import Piece, Work


def view(work: Work, order: Sequence[Piece], active: Sequence[Piece], pace: Pace) -> Generation:
    """A generation at this moment. `order` is what waits, in its order; `active` is what is being made."""
    job, takes = work.job, work.takes
    over = sum(take.seconds_asked if take.status == "done" else take.duration for take in takes if take.status in OVER)
    making = [piece for piece in work.pieces.values() if piece.take.status not in OVER]
    position, left = _outlook(making, order, active, pace) if making else (None, None)
    return Generation(
        id=job.id,
        items=[take.id for take in takes],
        status=job.status,
        position=position,
        seconds_made=round(over + sum(piece.seconds_made for piece in making), 3),
        seconds_total=sum(take.seconds_asked for take in takes),
        seconds_left=left,
        created=moment(job.created),
        started=None if job.started is None else moment(job.started),
        finished=None if job.finished is None else moment(job.finished),
        error=job.error,
        asked=job.asked,
        takes=[TakeView.of(take) for take in takes],
    )


def _outlook(
    making: Sequence[Piece], order: Sequence[Piece], active: Sequence[Piece], pace: Pace
) -> tuple[int | None, float | None]:
    """The position of what is still to be made, and the seconds until it is."""
    own = {piece.take.id for piece in making}
    at = next((i for i, piece in enumerate(order) if piece.take.id in own), None)
    begun = any(piece in active for piece in making)
    jobs = dict.fromkeys(piece.take.job for piece in order)
    position = None if begun or at is None else list(jobs).index(making[0].take.job) + 1
    ahead = [] if at is None else [*order[:at], *([] if begun else active)]
    rate = pace.rate(making[0].take.model)
    if rate is None or rate <= 0:
        return position, None
    together = rate * max(1, len(active))
    longest = max(piece.seconds_to_make for piece in making) / rate
    of_own = sum(piece.seconds_to_make for piece in making) / together
    queued = 0.0
    for piece in ahead:
        known = pace.rate(piece.take.model) or rate
        queued += piece.seconds_to_make / (known * max(1, len(active)))
    return position, round(queued + max(longest, of_own), 2)
