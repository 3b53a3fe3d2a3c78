"""The assembled model: same seed, same audio; a stream is the whole; a batch is its items; a take can be made again."""

import inspect
import json
import logging
import math
import re

import numpy as np
import pytest
import torch

from cadenza import Audio, CheckpointError, GenerationConfig, UserError
from cadenza.lm.windows import Window
from cadenza.pipelines import render as module
from cadenza.pipelines.musicgen import MusicGen
from cadenza.testing import noise, tiny_codec, tiny_conditioning, tiny_lm, tiny_musicgen, tone


@pytest.fixture(scope="module")
def music() -> MusicGen:
    return tiny_musicgen()


def same(a: Audio, b: Audio) -> bool:
    return np.array_equal(a.samples, b.samples)


def lookahead(music: MusicGen) -> int:
    """Samples at the end of what is made that would sound otherwise if it went on."""
    return math.ceil(music.codec.lookahead_frames) * music.codec.hop_length


# ---- what comes out -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("duration", [0.5, 0.501, 1.0001, 2])
def test_duration_is_exact(music, duration):
    audio = music.generate("x", duration, seed=0)
    assert audio.num_samples == round(duration * 32000)
    assert (audio.sample_rate, audio.channels) == (32000, 1)
    assert np.isfinite(audio.samples).all()


def test_the_models_own_duration_is_the_default(music):
    assert music.generate("x", seed=0).duration_seconds == 1.0


def test_same_seed_same_audio(music):
    assert same(music.generate("calm piano", 0.5, 3), music.generate("calm piano", 0.5, 3))


def test_another_instance_makes_the_same():
    assert same(tiny_musicgen().generate("x", 0.5, 3), tiny_musicgen().generate("x", 0.5, 3))


@pytest.mark.parametrize("change", [{"seed": 4}, {"text": "loud drums"}, {"guidance": 1.0}, {"temperature": 0.5}])
def test_what_was_asked_makes_a_difference(music, change):
    asked = {"text": "calm piano", "duration": 0.5, "seed": 3}
    assert not same(music.generate(**asked), music.generate(**asked | change))


def test_greedy_has_no_chance(music):
    assert same(music.generate("x", 0.5, 1, greedy=True), music.generate("x", 0.5, 2, greedy=True))


# ---- batches and seeds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask_padding", [False, True])
def test_a_batch_is_its_items(mask_padding):
    music = tiny_musicgen(mask_padding=mask_padding)
    texts = ["a slow waltz", "fast techno!", "a much longer sentence about strings", ""]
    batch = music.generate(texts, 0.5, [1, 2, 3, 4])
    for text, seed, audio in zip(texts, [1, 2, 3, 4], batch, strict=True):
        # 1e-4: batched matrix products add in another order; a code chosen otherwise would differ by 1e-1
        np.testing.assert_allclose(audio.samples, music.generate(text, 0.5, seed).samples, atol=1e-4)


def test_one_seed_counts_up_over_a_batch(music):
    audios = music.generate(["x", "x"], 0.5, 7)
    assert [audio.metadata["seed"] for audio in audios] == [7, 8]
    assert not same(*audios)


def test_a_drawn_seed_is_recorded(music):
    audio = music.generate("x", 0.3)
    assert same(audio, music.generate("x", 0.3, audio.metadata["seed"]))
    assert music.generate("x", 0.3).metadata["seed"] != audio.metadata["seed"]


# ---- audio prompts, timelines, long pieces ------------------------------------------------------------------


def test_continuation_begins_with_the_prompt(music):
    prompt = noise(0.5)
    audio = music.generate("x", 1.0, 0, prompt=prompt)
    assert audio.num_samples == 32000
    codes = music.codec.encode(torch.from_numpy(prompt.samples[None]))
    rendered = music.codec.decode(codes.codes)[0].numpy()
    settled = 16000 - lookahead(music)  # the last frames of the prompt hear what follows
    np.testing.assert_allclose(audio.samples[:, :settled], rendered[:, :settled], atol=1e-4)


def test_continuation_without_duration_adds_the_default(music):
    assert music.generate("x", prompt=tone(duration_seconds=0.5), seed=0).duration_seconds == 1.5


def test_an_audio_prompt_of_any_kind(music):
    audio = music.generate("x", 1.0, 0, prompt=tone(sample_rate=48000, duration_seconds=0.37, channels=2))
    assert audio.num_samples == 32000


def test_a_timeline_of_one_text_is_that_text(music):
    assert same(music.generate([(0, "x")], 0.5, 1), music.generate("x", 0.5, 1))


def test_words_may_come_later_and_go_again(music):
    """Without words there is one prediction a step, with them two: there is room for whatever the timeline holds."""
    plain = music.generate("", 2.0, 1)
    changed = music.generate([(0, ""), (1, "drums enter with all their might"), (1.5, "")], 2.0, 1)
    settled = 32000 - lookahead(music) - 3 * 640  # as below
    np.testing.assert_allclose(plain.samples[:, :settled], changed.samples[:, :settled], atol=1e-4)
    assert np.abs(plain.samples[:, 32000:] - changed.samples[:, 32000:]).max() > 0.1


def test_a_timeline_changes_the_future_only(music):
    plain = music.generate("calm piano", 2.0, 1)
    changed = music.generate([(0, "calm piano"), (1, "drums enter")], 2.0, 1)
    # The last 3 frames before the change, too: their later codebooks are chosen when codebook 0 is already beyond it.
    settled = 32000 - lookahead(music) - 3 * 640
    # 1e-4: the decoder gets the codes in other portions
    np.testing.assert_allclose(plain.samples[:, :settled], changed.samples[:, :settled], atol=1e-4)
    assert np.abs(plain.samples[:, 32000:] - changed.samples[:, 32000:]).max() > 0.1
    assert changed.metadata["text"] == [[0.0, "calm piano"], [1.0, "drums enter"]]


def test_a_piece_longer_than_the_window(monkeypatch):
    music = tiny_musicgen(max_duration_seconds=1.0)  # 50 frames at once, 30 further each time
    seen: list[Window] = []
    plan = module.plan_windows
    monkeypatch.setattr(module, "plan_windows", lambda *args: seen.extend(plan(*args)) or plan(*args))
    assert music.generate("x", 3.0, 0).num_samples == 96000
    assert [window[:3] for window in seen] == [(0, 0, 50), (30, 50, 80), (60, 80, 110), (90, 110, 140), (120, 140, 150)]


# ---- the record ---------------------------------------------------------------------------------------------


def test_a_stride_beyond_the_window_leaves_music_in_view():
    """The usual 18 s, with a model of shorter windows: one frame in view would be a new piece every time."""
    music = tiny_musicgen(max_duration_seconds=1.0)
    usual = music.generate("x", 2.0, 0, config=GenerationConfig(extend_stride=18.0))
    assert same(usual, music.generate("x", 2.0, 0, config=GenerationConfig(extend_stride=0.6)))


def test_buffers_of_one_number_belong_to_the_weights():
    """The style condition counts its batches."""
    first, second = tiny_musicgen(), tiny_musicgen()
    for i, model in enumerate((first, second)):
        model.conditioning.register_buffer("count", torch.tensor(i))
    assert first.weights != second.weights


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "opus", "mp3"])
def test_a_file_can_be_rendered_again(music, tmp_path, extension):
    audio = music.generate([(0, "pianø 🎹"), (0.6, "drums")], 1.1, 9, prompt=noise(0.4), top_k=5, guidance=2.5)
    take = Audio.read(audio.write(tmp_path / f"take.{extension}"))
    assert same(music.regenerate(take), audio)


def test_a_rendered_take_is_the_same_file(music, tmp_path):
    first = music.generate("x", 0.5, 9).write(tmp_path / "a.flac")
    second = music.regenerate(Audio.read(first)).write(tmp_path / "b.flac")
    assert first.read_bytes() == second.read_bytes()


def test_a_take_out_of_a_batch_is_the_same_file(music, tmp_path):
    for audio in music.generate(["abc", "longer one", "xyz"], 0.5, 9):
        first = audio.write(tmp_path / "a.flac")
        second = music.regenerate(Audio.read(first)).write(tmp_path / "b.flac")
        assert audio.metadata["batch"] == [0, 1]  # on a CPU nothing depends on the company
        assert first.read_bytes() == second.read_bytes()


def test_other_weights_are_refused(music):
    take = music.generate("x", 0.3, 0)
    with pytest.raises(UserError, match=r"made by tiny with weights .*load that model"):
        tiny_musicgen(seed=1).regenerate(take)


def test_foreign_audio_cannot_be_rendered(music):
    for metadata in ({}, {"comment": "hello"}):
        with pytest.raises(UserError, match="carries no record"):
            music.regenerate(Audio(tone().samples, 32000, metadata))


@pytest.mark.parametrize(
    "damage",
    [
        {"format": 99},
        {"seed": "seven"},
        {"batch": [3, 2]},
        {"generation": {"duration": -1}},
        {"prompt": {"num_codebooks": 4, "num_frames": 3, "data": "AAAA"}},
        {"prompt": {"num_codebooks": 4, "num_frames": 3, "data": "no base64!"}},
    ],
)
def test_a_damaged_record_is_refused(music, damage):
    take = music.generate("x", 0.3, 0)
    with pytest.raises(UserError) as caught:
        music.regenerate(Audio(take.samples, 32000, take.metadata | damage))
    assert "\n" not in str(caught.value)


def test_the_record_says_it_all(music):
    record = music.generate("x", 0.3, 5, top_k=7).metadata
    assert record["model"] == "tiny"
    assert record["licence"] == "CC0-1.0"
    assert len(record["weights"]) == 64
    assert record["generation"]["top_k"] == 7
    assert record["complete"] is True
    assert json.loads(json.dumps(record)) == record


# ---- progress and stopping ----------------------------------------------------------------------------------


def test_progress_counts_seconds_of_audio(music):
    calls: list[tuple[float, float]] = []
    music.generate(["short", "a longer one"], 0.5, 0, progress=lambda *call: calls.append(call))
    made = [done for done, _ in calls]
    assert made == sorted(made)
    assert calls[-1] == (1.0, 1.0)


def test_stopping_keeps_what_is_made(music):
    made = [0.0]
    audio = music.generate("x", 4.0, 3, progress=lambda done, _: made.append(done), should_stop=lambda: made[-1] >= 2.0)
    assert audio.metadata["complete"] is False
    assert 1.8 < audio.duration_seconds < 2.2
    whole = music.generate("x", 4.0, 3)
    settled = audio.num_samples - lookahead(music)
    np.testing.assert_allclose(audio.samples[:, :settled], whole.samples[:, :settled], atol=1e-4)


# ---- bad input ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("duration", [0, -1, float("nan"), float("inf"), 1e9, 1e-9])
def test_absurd_durations(music, duration):
    with pytest.raises(UserError, match="duration") as caught:
        music.generate("x", duration)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"text": []}, "no prompt"),
        ({"text": [(1, "late")]}, "begins at 1 s"),
        ({"text": [(0, "a"), (5, "b"), (2, "c")]}, "put it in order"),
        ({"text": [(0, "a"), (float("nan"), "b")]}, "seconds from 0 on"),
        ({"text": [(0, "a"), (0.7, "b")]}, "part at 0.7 s, but the piece ends at 0.5 s"),
        ({"text": [(0, "a"), "b"]}, "no part of a timeline"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 2**64}, "seed 1844"),
        ({"seed": [1, 2]}, "2 seeds for 1 prompts"),
        ({"text": ["a", "b"], "prompt": [tone()]}, "1 audio prompts for 2 prompts"),
        ({"prompt": tone(duration_seconds=0.01)}, "audio prompt lasts 0.0100 s .320 samples.: give at least 0.0200 s"),
        ({"prompt": tone(duration_seconds=1.0)}, "make the piece longer or the prompt shorter"),
        ({"melody": tone()}, "tiny cannot follow a melody"),
        ({"temperature": -1.0}, "temperature = -1"),
        ({"top_p": 1.5}, "top_p = 1.5"),
        ({"top_k": -3}, "top_k = -3"),
    ],
)
def test_what_cannot_be(music, arguments, words):
    with pytest.raises(UserError, match=words) as caught:
        music.generate(**{"text": "x", "duration": 0.5} | arguments)
    assert "\n" not in str(caught.value)


def test_a_batch_cannot_be_streamed(music):
    with pytest.raises(UserError, match="one piece of music"):
        next(music.stream(["a", "b"], 0.5))


def test_an_empty_prompt_is_unconditional(music, caplog):
    with caplog.at_level(logging.WARNING):
        audio = music.generate("  ", 0.5, 1)
    assert "empty prompt" in caplog.text
    assert same(audio, music.generate("", 0.5, 1, guidance=1.0))  # nothing to strengthen


def test_ten_thousand_words(music, caplog):
    with caplog.at_level(logging.WARNING):
        audio = music.generate("piano " * 10_000, 0.3, 1)
    assert "60001 tokens, 64 fit: using the first 10 of 10000 words" in caplog.text
    assert same(audio, music.generate(" ".join(["piano"] * 10), 0.3, 1))
    assert audio.metadata["text"] == " ".join(["piano"] * 10)


def test_one_word_of_ten_thousand_letters(music):
    assert len(music.generate("a" * 10_000, 0.3, 1).metadata["text"]) == 63


@pytest.mark.parametrize("text", ["🎹🎻🥁", "悲しいピアノ", "حزين", "\0\n\t", "é" * 100])
def test_every_script(music, text):
    assert music.generate(text, 0.3, 1).num_samples == 9600


# ---- the model directory ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stereo", [False, True])
def test_save_then_load_is_equal(tmp_path, stereo):
    music = tiny_musicgen(stereo=stereo)
    music.save_pretrained(tmp_path / "model")
    loaded = MusicGen.from_pretrained(tmp_path / "model", "cpu")
    assert loaded.config == music.config
    np.testing.assert_allclose(  # packed and plain sums differ by rounding
        loaded.generate("harp", 0.5, 2).samples, music.generate("harp", 0.5, 2).samples, atol=1e-5
    )
    music.pack()
    assert same(loaded.generate("harp", 0.5, 2), music.generate("harp", 0.5, 2))
    files = {str(path.relative_to(tmp_path / "model")) for path in (tmp_path / "model").rglob("*") if path.is_file()}
    assert files == {
        "README.md",
        "config.json",
        "codec/config.json",
        "codec/model.safetensors",
        "lm/config.json",
        "lm/model.safetensors",
        "conditioning/config.json",
        "conditioning/model.safetensors",
        "conditioning/text_encoder/config.json",
        "conditioning/text_encoder/model.safetensors",
        "conditioning/text_encoder/tokenizer.json",
    }


def test_a_loaded_model_renders_its_takes_after_a_copy(tmp_path):
    tiny_musicgen().save_pretrained(tmp_path / "a")
    take = MusicGen.from_pretrained(tmp_path / "a", "cpu").generate("x", 0.3, 0)
    (tmp_path / "a").rename(tmp_path / "b")
    assert same(MusicGen.from_pretrained(tmp_path / "b", "cpu").regenerate(take), take)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision(tmp_path, precision):
    tiny_musicgen().save_pretrained(tmp_path / "model")
    loaded = MusicGen.from_pretrained(tmp_path / "model", "cpu", precision)
    assert loaded.precision == precision
    assert next(loaded.codec.parameters()).dtype == torch.float32
    assert loaded.generate("x", 0.3, 0).metadata["precision"] == precision


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_quantised_weights(tmp_path, monkeypatch, precision):
    monkeypatch.setenv("CADENZA_CACHE", str(tmp_path / "cache"))
    tiny_musicgen().save_pretrained(tmp_path / "model")
    loaded = MusicGen.from_pretrained(tmp_path / "model", "cpu", precision)
    assert loaded.precision == precision
    take = loaded.generate("x", 0.3, 0)
    assert take.metadata["precision"] == precision
    assert same(loaded.regenerate(take), take)
    loaded.save_pretrained(tmp_path / "small")
    again = MusicGen.from_pretrained(tmp_path / "small", "cpu")
    assert again.precision == precision
    assert same(again.generate("x", 0.3, 0), take)
    with pytest.raises(UserError, match=f"holds weights in {precision}"):
        MusicGen.from_pretrained(tmp_path / "small", "cpu", "fp32")


def test_saving_replaces_models_only(tmp_path):
    music = tiny_musicgen()
    music.save_pretrained(tmp_path / "model")
    music.save_pretrained(tmp_path / "model")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("years of work")
    with pytest.raises(UserError, match="something else than a model"):
        music.save_pretrained(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter1.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("device", "precision", "words"),
    [
        ("tpu9", None, "unknown device 'tpu9'"),
        ("meta", None, "'meta' is not supported"),
        ("cuda:99", None, "CUDA device"),
        ("cpu", "int3", "unknown precision 'int3'"),
    ],
)
def test_unknown_device_or_precision(tmp_path, device, precision, words):
    tiny_musicgen().save_pretrained(tmp_path / "model")
    with pytest.raises(UserError, match=words):
        MusicGen.from_pretrained(tmp_path / "model", device, precision)


def test_bad_directories(tmp_path):
    with pytest.raises(CheckpointError):
        MusicGen.from_pretrained(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text('{"format": 2, "type": "musicgen"}')
    with pytest.raises(CheckpointError, match="format"):
        MusicGen.from_pretrained(tmp_path)


def test_parts_that_do_not_fit():
    with pytest.raises(CheckpointError, match="8 codebooks, the other 4"):
        MusicGen(tiny_codec(), tiny_lm(num_codebooks=8), tiny_conditioning())


def test_settings_by_name_win(music):
    config = GenerationConfig(duration=0.4, top_k=3)
    record = music.generate("x", seed=0, config=config, top_k=9).metadata["generation"]
    assert (record["duration"], record["top_k"]) == (0.4, 9)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"text": None}, "the prompt None is no text"),
        ({"text": 3}, "the prompt 3 is no text"),
        ({"text": "x", "seed": 1.5}, "seed 1.5: choose a whole number"),
        ({"text": "x", "seed": "a"}, "seed 'a': choose a whole number"),
        ({"text": "x", "prompt": "hum.wav"}, "'hum.wav' is no audio: give cadenza.Audio.read"),
    ],
)
def test_things_of_another_kind_are_explained(arguments, words):
    """A person in a notebook has no type checker; the inner function, since tests check types at every call."""
    from cadenza.pipelines.prompts import parse_text
    from cadenza.pipelines.requests import choose_seeds, spread_audio

    def check() -> None:
        inspect.unwrap(parse_text)(arguments["text"])
        inspect.unwrap(choose_seeds)(arguments.get("seed"), 1)
        inspect.unwrap(spread_audio)(arguments.get("prompt"), 1, "audio prompts")

    with pytest.raises(UserError, match=re.escape(words)):
        check()


def test_numbers_of_numpy_are_seeds():
    from cadenza.pipelines.requests import choose_seeds

    assert inspect.unwrap(choose_seeds)(np.int64(3), 2) == [3, 4]
