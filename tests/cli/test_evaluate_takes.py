"""Takes for a report: one per prompt and seed, made once, as asked; true music through a codec."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.cli.evaluate_takes import SEED_STEP, TakeMaker, through_codec
from cadenza.errors import UserError
from cadenza.evaluate.clips import Asked, Clip, ClipSet, read_clips
from cadenza.evaluate.report.config import SamplingConfig
from measured_sets import tone

PROMPTS = {
    "p1": Asked("low", 90.0, "D minor", ("piano",), "blues"),
    "p2": Asked("high", (100.0, 120.0), duration_seconds=1.5),
}


class FakeModel:
    """A tone per seed, with the record that a take carries."""

    def __init__(self, refuses: str = "") -> None:
        self.calls: list[tuple[str, float, int]] = []
        self.refuses = refuses
        self.together: list[int] = []

    def generate(self, text: Any, duration: float, seed: Any, progress: Any = None, **choices: Any) -> Any:
        if progress is not None:
            progress(duration / 4, duration)
        if isinstance(text, list):
            self.together.append(len(text))
            if any(self.refuses in one for one in text if self.refuses):
                raise UserError("cannot play these: choose other words")
            return [self.generate(one, duration, number, **choices) for one, number in zip(text, seed, strict=True)]
        if self.refuses and self.refuses in text:
            raise UserError("cannot play this: choose other words")
        self.calls.append((text, duration, seed))
        record = {"cadenza": "0", "weights": "w", "text": text, "seed": seed, "precision": "fp32",
                  "generation": {"duration": duration, "guidance": choices["guidance"] or 3.0}}  # fmt: skip
        return replace(tone(200.0 + seed % 100, duration, seed), metadata=record)


def maker(model: FakeModel, folder: Path, **sampling: Any) -> TakeMaker:
    return TakeMaker(lambda: model, "w", SamplingConfig(duration_seconds=1.0, **sampling), folder)  # type: ignore[arg-type,return-value]


def test_one_take_per_prompt_and_seed(tmp_path: Path) -> None:
    model = FakeModel()
    shown: list[tuple[float, int]] = []
    making = maker(model, tmp_path, seeds=(1, 2))
    clips = making.make("ours", PROMPTS, lambda done, total: shown.append((done, total)))
    assert [clip.id for clip in clips.clips] == ["p1", "p1__2", "p2", "p2__2"]
    assert [clip.piece for clip in clips.clips] == ["p1", "p1", "p2", "p2"]
    assert model.calls == [("low", 1.0, SEED_STEP + 1), ("low", 1.0, 2 * SEED_STEP + 1),
                           ("high", 1.5, SEED_STEP + 2), ("high", 1.5, 2 * SEED_STEP + 2)]  # fmt: skip
    assert shown == [(at + part, 4) for at in range(4) for part in (0, 0.25)]
    assert set(making.seconds) == {clip.id for clip in clips.clips}
    assert clips.clips[0].asked.duration_seconds == 1.0 and clips.clips[0].record["seed"] == SEED_STEP + 1


def test_several_at_once_are_the_same_takes(tmp_path: Path) -> None:
    prompts = {f"p{number}": Asked(f"low {number}") for number in range(5)} | {
        "long": Asked("low", duration_seconds=1.5)
    }
    alone = maker(FakeModel(), tmp_path / "alone", seeds=(1, 2)).make("ours", prompts, lambda *_: None)
    model = FakeModel()
    config = SamplingConfig(duration_seconds=1.0, seeds=(1, 2))
    making = TakeMaker(lambda: model, "w", config, tmp_path / "together", together=4)  # type: ignore[arg-type,return-value]
    shown: list[tuple[float, int]] = []
    together = making.make("ours", prompts, lambda done, total: shown.append((done, total)))
    assert model.together == [4, 4, 2, 2]
    assert shown == [(done, 12) for done in (0, 1, 4, 5, 8, 8.5, 10, 10.5)]
    assert [clip.record for clip in together.clips] == [clip.record for clip in alone.clips]
    # Where one of them cannot be made, the others are.
    model = FakeModel(refuses="3")
    making = TakeMaker(lambda: model, "w", config, tmp_path / "refused", together=4)  # type: ignore[arg-type,return-value]
    found = making.make("ours", prompts, lambda *_: None)
    assert [one.name for one in found.refused] == ["p3", "p3__2"] and len(found) == 10


def test_so_many_and_no_more(tmp_path: Path) -> None:
    model = FakeModel()
    clips = maker(model, tmp_path, seeds=(1, 2, 3)).make("ours", PROMPTS, lambda *_: None, most=3)
    assert [clip.id for clip in clips.clips] == ["p1", "p1__2", "p2"]
    more = maker(model, tmp_path, seeds=(1, 2, 3)).make("ours", PROMPTS, lambda *_: None, most=4)
    assert len(more) == 4 and len(model.calls) == 4  # one was missing


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    first = maker(FakeModel(), tmp_path).make("ours", PROMPTS, lambda *_: None)
    (tmp_path / "p2.flac").unlink()
    model = FakeModel()
    again = maker(model, tmp_path).make("ours", PROMPTS, lambda *_: None)
    assert [text for text, _, _ in model.calls] == ["high"] and again == first

    def never() -> FakeModel:
        raise AssertionError("all takes are there")

    TakeMaker(never, "w", SamplingConfig(duration_seconds=1.0), tmp_path).make("ours", PROMPTS, lambda *_: None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("weights", "sampling"),
    [("other", {}), ("w", {"guidance": 5.0}), ("w", {"seeds": (3,)}), ("w", {"precision": "int8"})],
)
def test_takes_of_other_settings_are_made_anew(tmp_path: Path, weights: str, sampling: dict[str, Any]) -> None:
    maker(FakeModel(), tmp_path).make("ours", PROMPTS, lambda *_: None)
    model = FakeModel()
    config = SamplingConfig(duration_seconds=1.0, **sampling)
    TakeMaker(lambda: model, weights, config, tmp_path).make("ours", PROMPTS, lambda *_: None)  # type: ignore[arg-type,return-value]
    assert len(model.calls) == 2


def test_a_take_of_a_model_that_reads_only_so_many_words_is_kept(tmp_path: Path) -> None:
    class Short(FakeModel):
        def generate(self, text: Any, duration: float, seed: Any, **choices: Any) -> Any:
            return super().generate(text[:3], duration, seed, **choices)

    model = Short()
    for _ in range(2):
        maker(model, tmp_path).make("ours", {"p": Asked("low and slow")}, lambda *_: None)
    assert [text for text, _, _ in model.calls] == ["low"]
    maker(model, tmp_path).make("ours", {"p": Asked("high")}, lambda *_: None)
    assert len(model.calls) == 2


def test_a_damaged_take_is_made_anew(tmp_path: Path) -> None:
    maker(FakeModel(), tmp_path).make("ours", PROMPTS, lambda *_: None)
    (tmp_path / "p1.flac").write_bytes(b"no music")
    model = FakeModel()
    maker(model, tmp_path).make("ours", PROMPTS, lambda *_: None)
    assert [text for text, _, _ in model.calls] == ["low"]


def test_interrupted_takes_are_kept(tmp_path: Path) -> None:
    class Interrupted(FakeModel):
        def generate(self, text: str, duration: float, seed: int, **choices: Any) -> Audio:
            if text == "high":
                raise KeyboardInterrupt
            return super().generate(text, duration, seed, **choices)

    with pytest.raises(KeyboardInterrupt):
        maker(Interrupted(), tmp_path).make("ours", PROMPTS, lambda *_: None)
    model = FakeModel()
    maker(model, tmp_path).make("ours", PROMPTS, lambda *_: None)
    assert [text for text, _, _ in model.calls] == ["high"]


def test_the_folder_can_be_judged_again_without_the_run(tmp_path: Path) -> None:
    made = maker(FakeModel(), tmp_path, seeds=(1, 2)).make("ours", PROMPTS, lambda *_: None)
    again = read_clips(tmp_path)
    assert [(c.id, c.piece, c.asked) for c in again.clips] == [(c.id, c.piece, c.asked) for c in made.clips]


def test_what_a_model_cannot_do_is_listed(tmp_path: Path) -> None:
    clips = maker(FakeModel(refuses="high"), tmp_path).make("ours", PROMPTS, lambda *_: None)
    assert [clip.id for clip in clips.clips] == ["p1"]
    assert [(one.name, one.reason) for one in clips.refused] == [("p2", "cannot play this: choose other words")]
    with pytest.raises(UserError, match="ours made no take: cannot play this"):
        maker(FakeModel(refuses="h"), tmp_path / "other").make("ours", {"p2": PROMPTS["p2"]}, lambda *_: None)


def test_a_prompt_cannot_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"prompt '\.\./p'"):
        maker(FakeModel(), tmp_path).make("ours", {"../p": Asked("x")}, lambda *_: None)


def test_true_music_through_a_codec(tmp_path: Path) -> None:
    from cadenza.testing import tiny_codec

    codec = tiny_codec()
    for number in range(5):
        tone(300.0, 1.0, number).write(tmp_path / f"{number}.wav")
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    clips = ClipSet("true", tuple(Clip(str(n), tmp_path / f"{n}.wav", str(n)) for n in range(5)))
    made = through_codec(clips, codec, "ceiling", tmp_path / "made", 3, lambda *_: None)
    assert [clip.id for clip in made.clips] == ["0", "1", "3"]  # evenly spread
    audio = Audio.read(made.clips[0].path)
    assert (audio.sample_rate, audio.channels) == (codec.sample_rate, codec.channels)
    assert audio.duration_seconds == pytest.approx(1.0, abs=1e-3)
    before = made.clips[0].path.read_bytes()
    again = through_codec(clips, codec, "ceiling", tmp_path / "made", 3, lambda *_: None)
    assert again == made and made.clips[0].path.read_bytes() == before
    broken = ClipSet("true", (Clip("broken", tmp_path / "broken.wav", "broken"),))
    with pytest.raises(UserError, match="nothing could be passed through the codec"):
        through_codec(broken, codec, "ceiling", tmp_path / "other", 3, lambda *_: None)
    assert np.isfinite(audio.samples).all()
