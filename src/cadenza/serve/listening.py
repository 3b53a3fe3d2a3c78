"""The page of a listening test: for several listeners at once, blind, and so that nothing is lost.

In: a test folder (`listening_make`). Out: its `results.sqlite`, which every answer reaches before the next screen. The
page is told the names of clips and questions, never a system nor which screens are attention checks; `key.json` is not
opened here. What an answer claims is checked: that the clips were heard, and that there was time to hear them.

Listens on 127.0.0.1 unless told otherwise, guarded as `serve.local` tells. Needs the extra `serve`.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic

from cadenza.errors import UserError
from cadenza.serve.listening_config import HIGH, LOW, STRENGTHS
from cadenza.serve.listening_design import CLIPS, RESULTS, Design, Screen, Section
from cadenza.serve.listening_plan import plan_session
from cadenza.serve.listening_store import Session, Store
from cadenza.serve.local import ADDRESS, HOSTS, TYPES, guarded_app, serve_app

if TYPE_CHECKING:
    from fastapi import FastAPI

PAGE = Path(__file__).parent / "page" / "listening.html"
HEADPHONES = {
    "headphones": "Headphones",
    "earphones": "Earphones",
    "speakers": "Loudspeakers",
    "built-in": "The loudspeaker of this device",
}
PACE_SECONDS = 6.0
"""For an answer, besides hearing the clips, until a listener's own pace is known."""
_HEARD_SLACK_SECONDS = 0.3  # browsers end a clip a little early, and say so late
_TIME_SLACK = 0.9
_EVERYWHERE = "0.0.0.0"


class Beginning(pydantic.BaseModel):
    """Somebody who agrees to take part."""

    model_config = pydantic.ConfigDict(extra="forbid")

    consent: bool
    headphones: str


class Code(pydantic.BaseModel):
    """Somebody who was here before."""

    model_config = pydantic.ConfigDict(extra="forbid")

    code: str = pydantic.Field(max_length=40)


class Judgement(Code):
    """An answer to the screen at `position`: a rating of 1 to 100; of a pair -3 (the first, strongly) to 3."""

    position: int
    answer: int
    heard: tuple[float, ...] = pydantic.Field(description="seconds of each clip", max_length=16)


class ListeningTest:
    """A test folder that is open for listeners."""

    def __init__(self, folder: str | Path, clock: Callable[[], float] | None = None) -> None:
        """Raises UserError for a folder that is no test or lacks clips, and for results that do not belong to it."""
        self.folder = Path(folder)
        self.design = Design.read(self.folder)
        self.screens: dict[str, tuple[Section, str, Screen]] = self.design.screens()
        gone = [name for name in self.design.seconds if not self.path(name).is_file()]
        if gone:
            raise UserError(
                f"{len(gone)} of {len(self.design.seconds)} clips of {self.folder} are not there, the first is "
                f"{self.path(gone[0]).name}: copy the whole folder, or make the test again"
            )
        path = self.folder / RESULTS
        self.store = Store(path, self.design.id) if clock is None else Store(path, self.design.id, clock)

    def path(self, clip: str) -> Path:
        return self.folder / CLIPS / f"{clip}{self.design.suffix}"

    def begin(self, headphones: str) -> str:
        """A session for somebody new; returns the code."""
        return self.store.begin(headphones, partial(plan_session, self.design))

    def summary(self) -> str:
        """How far the test is, in a line."""
        answers = self.store.answers()
        counts = Counter(answer.screen for answer in answers if answer.kind == "rating")
        screens = sum(len(block.screens) for section in self.design.sections for block in section.blocks)
        wanted = self.design.ratings_per_item
        full = sum(count >= wanted for count in counts.values())
        return (
            f"{len(self.store.listeners())} listeners, {len(answers)} answers; {full} of {screens} screens have the "
            f"{wanted} ratings that are wanted"
        )

    def state(self, session: Session) -> dict[str, Any]:
        """What the page shows of a session: the next screen, how far it is and what is left."""
        pace = session.pace_seconds
        sounding = [sum(self.design.seconds[clip] for clip in clips) for clips in session.remaining]
        left = sum(sounding) + PACE_SECONDS * len(sounding) if pace is None else pace * len(sounding)
        state: dict[str, Any] = {
            "code": session.code,
            "done": session.done,
            "total": session.total,
            "seconds_left": round(left),
            "screen": None,
        }
        if session.next is not None:
            section, text, _ = self.screens[session.next.screen]
            state["screen"] = {
                "position": session.position,
                "training": session.next.kind == "training",
                "kind": section.kind,
                "title": section.title,
                "question": section.question,
                "low": section.low,
                "high": section.high,
                "text": text,
                "clips": [{"name": clip, "seconds": self.design.seconds[clip]} for clip in session.next.clips],
            }
        return state

    def check(self, session: Session, judgement: Judgement) -> float:
        """Whether an answer can be one; returns the share of the clips that was heard. Raises UserError if not."""
        planned = session.next
        assert planned is not None, "there is a screen"
        section, _, _ = self.screens[planned.screen]
        low, high = (-len(STRENGTHS), len(STRENGTHS)) if section.kind == "pair" else (LOW, HIGH)
        if not low <= judgement.answer <= high:
            raise UserError(f"answer {judgement.answer}: give a whole number from {low} to {high}")
        seconds = [self.design.seconds[clip] for clip in planned.clips]
        if len(judgement.heard) != len(seconds):
            raise UserError(f"{len(judgement.heard)} clips heard of {len(seconds)}: reload the page")
        shares = [
            min(1.0, (heard + _HEARD_SLACK_SECONDS) / length) if math.isfinite(heard) else 0.0
            for heard, length in zip(judgement.heard, seconds, strict=True)
        ]
        needed = self.design.least_heard
        if min(shares) < needed:
            words = "the whole clip" if needed == 1 else f"{needed:.0%} of the clip"
            raise UserError(f"listen to {words} before you judge it")
        if session.shown is None:
            raise UserError("this screen was not shown yet: reload the page")
        elapsed = self.store.clock() - session.shown
        if 0 <= elapsed < _TIME_SLACK * needed * sum(seconds) - _HEARD_SLACK_SECONDS:  # the clock may be set back
            raise UserError("that was faster than the music lasts: listen to it before you judge it")
        return min(shares)


def create_app(test: ListeningTest, names: Sequence[str] = HOSTS) -> "FastAPI":
    """The program behind the page. Raises UserError where fastapi is missing."""
    app = guarded_app("Cadenza: listening test", names)
    from fastapi import HTTPException
    from fastapi.responses import FileResponse, HTMLResponse, JSONResponse

    def shown(code: str) -> JSONResponse:
        """The state of a session, whose next screen counts as shown from now on."""
        session = test.store.session(code)
        test.store.show(code, session.position)
        return JSONResponse(test.state(session))

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(PAGE.read_text(encoding="utf-8"))

    @app.get("/api/test")
    def about() -> JSONResponse:
        design = test.design
        return JSONResponse(
            {
                "id": design.id,
                "title": design.title,
                "welcome": design.welcome,
                "consent": design.consent,
                "headphones": HEADPHONES,
                "calibration": design.calibration,
                "least_heard": design.least_heard,
                "low": LOW,
                "high": HIGH,
                "strengths": STRENGTHS,
            }
        )

    @app.post("/api/begin")
    def begin(beginning: Beginning) -> JSONResponse:
        if not beginning.consent:
            raise UserError("without your consent nothing is stored, and the test cannot begin")
        if beginning.headphones not in HEADPHONES:
            raise UserError(f"what do you hear with? One of {', '.join(HEADPHONES)}")
        return shown(test.begin(beginning.headphones))

    @app.post("/api/resume")
    def resume(code: Code) -> JSONResponse:
        return shown(code.code)

    @app.post("/api/answer")
    def answer(judgement: Judgement) -> JSONResponse:
        session = test.store.session(judgement.code)
        if judgement.position > session.position or judgement.position < 0:
            raise HTTPException(409, "this screen is not the next one: reload the page")
        if judgement.position == session.position and session.next is not None:
            heard = test.check(session, judgement)
            test.store.answer(judgement.code, judgement.position, judgement.answer, heard)
        return JSONResponse(test.state(test.store.session(judgement.code)))  # an answer that came before stays

    @app.post("/api/stop")
    def stop(code: Code) -> JSONResponse:
        test.store.stop(code.code)
        return JSONResponse({"stopped": True})

    @app.get("/api/clips/{name}")
    def clip(name: str) -> FileResponse:
        if name not in test.design.seconds:
            raise HTTPException(404, "no such clip")
        path = test.path(name)
        if not path.is_file():
            raise HTTPException(404, f"{path.name} is gone")
        return FileResponse(path, media_type=TYPES[path.suffix])  # answers requests for a range

    return app


def serve(
    test: ListeningTest, port: int, announce: Callable[[str], None], host: str = ADDRESS, names: Sequence[str] = ()
) -> None:
    """Answer listeners until Ctrl-C. `host` other than 127.0.0.1 lets in others, who call it that or by `names`."""
    if host == _EVERYWHERE and not names:
        raise UserError(f"--host {host} is every address of this machine: say with --name what listeners call it")
    known = tuple(dict.fromkeys((*HOSTS, *(() if host == _EVERYWHERE else (host,)), *names)))
    serve_app(create_app(test, known), port, announce, host)
