"""Side by side with `transformers`' MusicGen of melody and text on random weights, and our files in its classes."""

import importlib
import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from cadenza.audio import Audio
from cadenza.conditioning.chroma import ChromaConfig, Melody
from cadenza.conditioning.fuser import FuserConfig
from cadenza.conditioning.text import TextConfig
from cadenza.convert import transformers_conditions
from cadenza.convert.transformers import read_musicgen, write_musicgen
from cadenza.errors import CheckpointError, UserError
from cadenza.pipelines.musicgen import MusicGen
from transformers_models import CLOSE, FRAMES, T5, TEXTS, random_musicgen, their_audio, tokens

RATE = 32000
MELODY = "transformers.models.musicgen_melody"
"""Imported module by module: by name, transformers refuses these classes where torchaudio is not installed."""


@pytest.fixture(autouse=True)
def quiet() -> None:
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


@pytest.fixture(scope="module", params=[False, True], ids=["mono", "stereo"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, MusicGen]:
    """Their model, and ours made of its files."""
    from transformers import AutoTokenizer

    path = tmp_path_factory.mktemp("melody")
    theirs = random_musicgen(request.param, melody=True)
    theirs.save_pretrained(path / "theirs")
    AutoTokenizer.from_pretrained(T5).save_pretrained(path / "theirs")
    read_musicgen(path / "theirs", "tiny").save_pretrained(path / "ours")
    return theirs, MusicGen.from_pretrained(path / "ours", "cpu")


def tunes(seconds: float = 2.0) -> list[Melody]:
    """A rising and a falling line, each with a little noise; taken as they are, drums or not."""
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(round(RATE * seconds)) / RATE
    scales = ([0, 4, 7, 12, 16], [9, 5, 2, 0, -3])
    made = []
    for scale in scales:
        pitch = torch.tensor(scale)[(len(scale) * time / seconds).long()]
        wave = 0.3 * torch.sin(2 * torch.pi * 261.63 * 2 ** (pitch / 12) * time)
        wave += 0.01 * torch.randn(time.shape, generator=generator)
        made.append(Melody(Audio(wave[None].numpy(), RATE), "none"))
    return made


def chroma_of(model: MusicGen, melodies: list[Melody]) -> Tensor:
    """As many frames as the recording has."""
    return torch.stack(model.conditioning.conditioner("self_wav").prepare(melodies))  # type: ignore[arg-type]


# ---- their feature extractor -----------------------------------------------------------------------------------------


class Spectrogram:
    """What torchaudio's class of this name documents, for machines without torchaudio: |STFT|^2 over the energy of a
    Hann window."""

    def __init__(self, n_fft: int, win_length: int, hop_length: int, **settings: Any) -> None:
        assert settings == {"power": 2, "center": True, "pad": 0, "normalized": True}
        assert win_length == n_fft
        self.hop, self.window = hop_length, torch.hann_window(n_fft)

    def __call__(self, wave: Tensor) -> Tensor:
        size = len(self.window)
        spectrum = torch.stft(wave, size, self.hop, window=self.window, pad_mode="reflect", return_complex=True)
        return spectrum.abs().square() / self.window.square().sum()


@pytest.fixture
def extractor_class(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`MusicgenMelodyFeatureExtractor`; with our spectrogram if torchaudio is not installed."""
    module = importlib.import_module(f"{MELODY}.feature_extraction_musicgen_melody")
    if importlib.util.find_spec("torchaudio") is None:
        stand_in = SimpleNamespace(transforms=SimpleNamespace(Spectrogram=Spectrogram))
        monkeypatch.setattr(module, "torchaudio", stand_in, raising=False)
    return module.MusicgenMelodyFeatureExtractor


@pytest.mark.parametrize("seconds", [0.3, 2.0, 30.0])  # shorter than a window; a few frames; 235
def test_melodies_are_heard_alike(pair: tuple[Any, MusicGen], extractor_class: Any, seconds: float) -> None:
    melodies = tunes(seconds)
    theirs = extractor_class()([tune.audio.samples[0] for tune in melodies], sampling_rate=RATE, return_tensors="pt")
    ours = chroma_of(pair[1], melodies)
    assert ours.shape[1] == 1 + max(round(RATE * seconds), 16384) // 4096
    assert torch.equal(ours, theirs["input_features"])
    assert len(ours.argmax(-1).unique()) > 3 or seconds < 1


# ---- the whole -------------------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("heard", ["text and melody", "text"])
def test_logits_agree(pair: tuple[Any, MusicGen], heard: str) -> None:
    """Teacher-forced. A melody of 16 frames is repeated to 235; a missing one is class 0 (reference, trap 7)."""
    theirs, ours = pair
    codebooks = ours.lm.config.num_codebooks
    sequence, _ = ours.lm.pattern.build(torch.randint(0, 64, (2, codebooks, 9)), 64)
    melodies = tunes() if heard == "text and melody" else [None, None]
    given = {} if melodies[0] is None else {"input_features": chroma_of(ours, melodies)}  # type: ignore[arg-type]
    expected = theirs(**tokens(), **given, decoder_input_ids=sequence.flatten(0, 1)).logits
    expected = expected.view(2, codebooks, -1, 64)[:, :, -sequence.shape[2] :]

    items = [{"description": text, "self_wav": melody} for text, melody in zip(TEXTS, melodies, strict=True)]
    conditions = ours.conditioning.window(ours.conditioning.prepare(items), 0)
    fused = ours.conditioning(conditions)
    assert fused.prefix_length == 235 + tokens()["input_ids"].shape[1]
    # Sums over 243 places in front; measured 3.5e-5 on logits of size 6.
    torch.testing.assert_close(ours.lm(sequence, fused), expected, atol=2e-4, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("heard", ["text and melody", "text"])
def test_generation_agrees(pair: tuple[Any, MusicGen], heard: str, guidance: float) -> None:
    """One by one: in a batch, they let the padding of a shorter text take part, as nothing in front is masked; here
    an item is the same alone and among others.
    """
    theirs, ours = pair
    melodies = tunes() if heard == "text and melody" else None
    made = ours.generate(TEXTS, duration=FRAMES / 50, greedy=True, guidance=guidance, melody=melodies)
    for i, audio in enumerate(made):
        given = {} if melodies is None else {"input_features": chroma_of(ours, melodies[i : i + 1])}
        expected = their_audio(theirs, tokens(TEXTS[i]), guidance_scale=guidance, **given)[0]
        assert audio.samples.shape == expected.shape == (ours.codec.channels, FRAMES * 640)
        torch.testing.assert_close(torch.from_numpy(audio.samples), expected, **CLOSE)


@torch.no_grad()
def test_our_files_are_theirs(pair: tuple[Any, MusicGen], extractor_class: Any, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, MusicgenMelodyForConditionalGeneration

    processing = importlib.import_module(f"{MELODY}.processing_musicgen_melody")
    theirs, ours = pair
    write_musicgen(ours, tmp_path / "back")
    again, report = MusicgenMelodyForConditionalGeneration.from_pretrained(tmp_path / "back", output_loading_info=True)
    assert not any(report.values()), report
    assert (again.config.num_chroma, again.config.chroma_length) == (12, 235)
    assert again.generation_config.max_length == 1504  # 30 s

    extractor = extractor_class.from_pretrained(tmp_path / "back")
    processor = processing.MusicgenMelodyProcessor(extractor, AutoTokenizer.from_pretrained(tmp_path / "back"))
    for file in ("preprocessor_config.json", "tokenizer_config.json"):
        assert json.loads((tmp_path / "back" / file).read_text())["processor_class"] == "MusicgenMelodyProcessor"
    defaults = extractor_class().to_dict()
    assert {key: extractor.to_dict()[key] for key in defaults} == defaults
    waves = [tune.audio.samples[0] for tune in tunes()]
    batch = processor(audio=waves, text=TEXTS, sampling_rate=RATE, padding=True, return_tensors="pt")
    # Start token, guidance and length come from the written generation_config.json.
    expected = their_audio(theirs, tokens(), guidance_scale=3.0, input_features=chroma_of(ours, tunes()))
    assert torch.equal(their_audio(again, batch), expected)

    assert read_musicgen(tmp_path / "back").conditioning.config == ours.conditioning.config


# ---- settings --------------------------------------------------------------------------------------------------------


def test_what_is_left_out_is_what_transformers_takes(extractor_class: Any) -> None:
    from transformers import MusicgenMelodyConfig

    for own, theirs in (
        (transformers_conditions.MELODY_DEFAULTS, MusicgenMelodyConfig()),
        (transformers_conditions.EXTRACTOR_DEFAULTS, extractor_class()),
    ):
        assert own == {key: getattr(theirs, key) for key in own}


def changed(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_other_settings_of_the_melody_are_read(pair: tuple[Any, MusicGen], tmp_path: Path) -> None:
    write_musicgen(pair[1], tmp_path / "x")
    changed(tmp_path / "x" / "config.json", chroma_length=79)
    changed(tmp_path / "x" / "preprocessor_config.json", sampling_rate=16000, hop_length=2048, n_fft=8192)
    melody = read_musicgen(tmp_path / "x").conditioning.config.conditioners["self_wav"]
    assert melody == ChromaConfig(length=79, sample_rate=16000, hop=2048, n_fft=8192)
    changed(tmp_path / "x" / "config.json", num_chroma=24)
    with pytest.raises(CheckpointError, match="of another shape: self_wav"):
        read_musicgen(tmp_path / "x")
    changed(tmp_path / "x" / "config.json", num_chroma="many")
    with pytest.raises(CheckpointError, match=r"self_wav.*dim"):
        read_musicgen(tmp_path / "x")


@pytest.mark.parametrize(
    ("conditioners", "fuser", "message"),
    [
        ({}, {"prepend": ("description", "self_wav")}, "a melody and then a text"),
        ({}, {"prepend": ("self_wav",), "cross": ("description",)}, "a melody and then a text"),
        ({"self_wav": ChromaConfig(length=None)}, {}, "as many frames as in training"),
        ({"self_wav": ChromaConfig(only_strongest=False)}, {}, "the strongest class of every frame"),
        ({"self_wav": ChromaConfig(null="nothing")}, {}, "silence from tones"),
        ({"self_wav": ChromaConfig(projection_layers=2)}, {}, "two layers"),
        ({"description": TextConfig(dim=48, pad_to=64)}, {}, "padded to a fixed length"),
    ],
)
def test_other_melody_models_are_refused(
    pair: tuple[Any, MusicGen], tmp_path: Path, conditioners: dict[str, Any], fuser: dict[str, Any], message: str
) -> None:
    model = pair[1]
    before = model.conditioning.config
    changes: dict[str, Any] = {"conditioners": {**before.conditioners, **conditioners}}
    if fuser:
        changes["fuser"] = FuserConfig(**fuser)
    model.conditioning.config = before.model_copy(update=changes)
    try:
        with pytest.raises(UserError, match=message):
            write_musicgen(model, tmp_path / "back")
    finally:
        model.conditioning.config = before
    assert not (tmp_path / "back").exists()
