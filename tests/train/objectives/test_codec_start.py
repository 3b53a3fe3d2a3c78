"""A codec goes on from weights of every form, official ones included, and from their codebooks as they are."""

from pathlib import Path

import pytest
import torch

from cadenza.codec.encodec import EnCodec
from cadenza.codec.stereo import StereoCodec
from cadenza.convert.audiocraft_codec import read_codec
from cadenza.convert.formats import write_codec
from cadenza.errors import CadenzaError
from cadenza.testing import tiny_musicgen
from cadenza.train.discriminators import DiscriminatorConfig
from cadenza.train.losses import MelLossConfig
from cadenza.train.objective import Turn
from cadenza.train.objectives.codec import CodecObjective, CodecObjectiveConfig

PARITY = Path(__file__).parents[2] / "parity"
FORMS = ("file", "audiocraft", "transformers", "cadenza", "causal", "model")


def write(form: str, folder: Path) -> tuple[str, EnCodec]:
    """A shrunk official codec (random weights) in a form, and the codec."""
    if form in ("file", "causal"):
        name = "encodec_32khz_tiny" if form == "file" else "encodec_24khz_causal_tiny"
        path = PARITY / name / "compression_state_dict.bin"
        return str(path), read_codec(path)
    if form == "model":
        model = tiny_musicgen()
        model.save_pretrained(folder)
        codec = model.codec.mono if isinstance(model.codec, StereoCodec) else model.codec
        assert isinstance(codec, EnCodec)
        return str(folder), codec
    codec = read_codec(PARITY / "encodec_32khz_tiny" / "compression_state_dict.bin")
    write_codec(codec, folder / "codec", form)
    return str(folder / "codec"), codec


def start(source: str, **changes: object) -> CodecObjective:
    torch.manual_seed(0)
    mel, small = MelLossConfig(windows=(64,), num_mels=8), DiscriminatorConfig(filters=2, windows=(64, 32))
    return CodecObjective(CodecObjectiveConfig(start_from=source, mel=mel, discriminator=small, **changes))


def step(part: CodecObjective, audio: torch.Tensor) -> None:
    for phase in part.phases(0):
        phase.optimizer.zero_grad()
        turn = Turn(phase.name, 0, 0, 1, range(len(audio)), 0, torch.Generator().manual_seed(0))
        part.loss({"audio": audio}, turn).value.backward()
        phase.optimizer.step()


@pytest.mark.parametrize("form", FORMS)
def test_it_starts_from_the_weights_and_learns(form: str, tmp_path: Path) -> None:
    source, codec = write(form, tmp_path)
    part = start(source)
    assert part.codec.config.model_copy(update={"segment_overlap": 0.01}) == codec.config  # unused; not in every form
    found, expected = part.codec.state_dict(), codec.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    entries = [book.embed.clone() for book in part.codec.quantizer.layers]
    audio = 0.1 * torch.randn(2, codec.channels, 20 * codec.hop_length)
    step(part, audio)
    changed = [name for name, tensor in part.codec.state_dict().items() if not torch.equal(tensor, expected[name])]
    assert any(name.startswith("encoder") for name in changed) and any(name.startswith("decoder") for name in changed)
    for book, before in zip(part.codec.quantizer.layers, entries, strict=True):
        moved = (book.embed - before).norm(dim=1) > 0.1 * before.norm(dim=1)
        # Random weights use few entries, and those move; the others are not thrown away for it.
        assert float(moved.float().mean()) < 0.25
        # 40 vectors; newcomers' weight comes on top.
        assert 39.9 < float(book.cluster_size.sum()) < 52


def test_codes_stay_valid_where_only_the_decoder_learns(tmp_path: Path) -> None:
    source, codec = write("transformers", tmp_path)
    part = start(source, decoder_only=True)
    step(part, 0.1 * torch.randn(2, 1, 20 * codec.hop_length))
    kept = {name: tensor for name, tensor in codec.state_dict().items() if not name.startswith("decoder")}
    assert all(torch.equal(part.codec.state_dict()[name], tensor) for name, tensor in kept.items())


@pytest.mark.parametrize("source", ["/nowhere/at/all", "facebook/encodec_31khz"])
def test_what_is_not_there_is_said(source: str) -> None:
    with pytest.raises(CadenzaError, match=r"encodec_32khz|no model"):
        start(source)
