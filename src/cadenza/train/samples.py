"""What a model sounds like while it is trained: a few pieces at every snapshot.

In: the playable model of a snapshot. Out: `samples/step_XXXXXXXX/`. For a language model: music for sentences with
fixed seeds, and beside it what the codec makes of the recordings that they describe, the best that the model could
reach. For a Jukebox prior: a window for what is told of a recording, beside that recording's own codes. For a codec or
a diffusion decoder: recordings beside their reconstructions. Heard is what was saved, the averaged weights, in a copy
of its own: nothing of the training is touched, and the random numbers of its process are put back.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cadenza.audio import Audio
from cadenza.codec.base import Codec
from cadenza.codec.encodec import EnCodec
from cadenza.diffusion.decoder import DiffusionDecoder
from cadenza.files import atomic_directory
from cadenza.jukebox.labels import Piece
from cadenza.jukebox.prior import Prior
from cadenza.jukebox.sampling import Draws, sample_window
from cadenza.jukebox.vqvae import JukeboxVQVAE
from cadenza.train.objectives.lm import ADAPTER_FILE


@runtime_checkable
class Sampler(Protocol):
    """What writes the samples of one family of models."""

    def __call__(self, model: Path, folder: Path) -> None:
        """Write samples of the model in `model` into `folder`, which is new."""


class LMSampler:
    """Music for sentences, and the codec's rendering of recordings that they describe, where there are any."""

    def __init__(
        self,
        prompts: Sequence[str],
        seconds: float,
        device: torch.device,
        references: Sequence[Int[Tensor, "K T"]] | None = None,
        base: Path | None = None,
    ) -> None:
        """`base`: the model that a trained adapter belongs to."""
        self.prompts, self.seconds, self.device = list(prompts), seconds, device
        self.references, self.base = references, base

    def __call__(self, model: Path, folder: Path) -> None:
        from cadenza.pipelines.musicgen import MusicGen

        precision = "fp32" if self.device.type == "cpu" and self.base is None else None
        music = MusicGen.from_pretrained(self.base or model, self.device, precision)
        seeds = list(range(len(self.prompts)))
        adapters = [] if self.base is None else [(model / ADAPTER_FILE, 1.0)]
        made = music.generate(self.prompts, duration=self.seconds, seed=seeds, adapters=adapters)
        for number, audio in enumerate(made):
            audio.write(folder / f"{number:02d}_model.wav")
        if self.references is not None:
            for number, codes in enumerate(self.references):
                audio = _decode(music.codec, codes)
                audio.write(folder / f"{number:02d}_codec.wav")
        lines = (f"{number:02d} {prompt}\n" for number, prompt in enumerate(self.prompts))
        (folder / "prompts.txt").write_text("".join(lines), encoding="utf-8")


class CodecSampler:
    """Recordings, and what the codec makes of them."""

    def __init__(self, audio: Float[Tensor, "B C N"], device: torch.device) -> None:
        self.audio, self.device = audio, device

    @torch.no_grad()
    def __call__(self, model: Path, folder: Path) -> None:
        codec = EnCodec.from_pretrained(model / "codec", self.device, torch.float32).eval()
        heard = codec.decode(*codec.encode(self.audio.to(self.device)))[..., : self.audio.shape[2]].cpu()
        _write(folder, codec.sample_rate, {"recording": self.audio, "codec": heard})


class DiffusionSampler:
    """Recordings, and what the codec's own decoder and the diffusion make of their codes."""

    def __init__(self, audio: Float[Tensor, "B C N"], device: torch.device) -> None:
        self.audio, self.device = audio, device

    @torch.no_grad()
    def __call__(self, model: Path, folder: Path) -> None:
        decoder = DiffusionDecoder.from_pretrained(model, self.device)
        codes = decoder.codec.encode(self.audio.to(self.device)).codes
        sounds = {"codec": decoder.codec.decode(codes), "diffusion": decoder.decode(codes)}
        heard = {name: sound[..., : self.audio.shape[2]].cpu() for name, sound in sounds.items()}
        _write(folder, decoder.codec.sample_rate, {"recording": self.audio} | heard)


class VQVAESampler:
    """Recordings, and what each level of a VQ-VAE makes of them."""

    def __init__(self, audio: Float[Tensor, "B 1 N"], device: torch.device) -> None:
        self.audio, self.device = audio, device

    @torch.no_grad()
    def __call__(self, model: Path, folder: Path) -> None:
        vqvae = JukeboxVQVAE.from_pretrained(model, self.device)
        codes = vqvae.encode(self.audio.to(self.device))
        heard = {f"level{level}": vqvae.decode(part, level).cpu() for level, part in enumerate(codes)}
        _write(folder, vqvae.sample_rate, {"recording": self.audio} | heard)


class PriorSampler:
    """Codes of recordings, and what a prior writes for the same labels (over the same codes of the level above)."""

    def __init__(
        self,
        vqvae: JukeboxVQVAE,
        codes: Int[Tensor, "B T"],
        upper: Int[Tensor, "B U"] | None,
        pieces: Sequence[Piece],
        device: torch.device,
    ) -> None:
        self.vqvae, self.codes, self.upper, self.pieces, self.device = vqvae, codes, upper, pieces, device

    @torch.no_grad()
    def __call__(self, model: Path, folder: Path) -> None:
        prior = Prior.from_pretrained(model, self.device).eval()
        level, seeds = prior.config.level, range(len(self.pieces))
        choose = Draws(seeds, level, prior.vocabulary_size, device=self.device)
        conditions = prior.conditions(self.pieces, upper_codes=self.upper)
        made = sample_window(prior, conditions, self.codes[:, :0], self.codes.shape[1], choose)
        sounds = {"codes": self.codes, "model": made}
        heard = {name: self.vqvae.decode(part, level).cpu() for name, part in sounds.items()}
        _write(folder, self.vqvae.sample_rate, heard)


def _write(folder: Path, sample_rate: int, sounds: Mapping[str, Float[Tensor, "B C N"]]) -> None:
    for name, batch in sounds.items():
        for number, samples in enumerate(batch):
            Audio(samples.numpy(), sample_rate).write(folder / f"{number:02d}_{name}.wav")


def write_samples(sampler: Sampler, model: Path, folder: Path) -> Path:
    """Samples of a snapshot's model in `folder / NAME OF THE SNAPSHOT`, whole or not at all."""
    target = folder / model.parent.name
    folder.mkdir(parents=True, exist_ok=True)
    with _undisturbed(), atomic_directory(target) as temporary:
        sampler(model, temporary)
    return target


@contextmanager
def _undisturbed() -> Iterator[None]:
    """The number of threads and PyTorch's random numbers afterwards are those of before."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            torch.set_num_threads(threads)


@torch.no_grad()
def _decode(codec: Codec, codes: Int[Tensor, "K T"]) -> Audio:
    device = next(codec.parameters()).device
    return Audio(codec.decode(codes[None].to(device, torch.int64))[0].cpu().numpy(), codec.sample_rate)
