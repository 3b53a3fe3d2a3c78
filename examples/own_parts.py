"""A model assembled from parts, saved, loaded and played: what a training run does at its end.

python examples/own_parts.py
"""

from cadenza.pipelines.musicgen import MusicGen, MusicGenConfig
from cadenza.testing import tiny_codec, tiny_conditioning, tiny_lm

music = MusicGen(tiny_codec(), tiny_lm(), tiny_conditioning(), MusicGenConfig(name="noise", licence="CC0-1.0"))
music.save_pretrained("noise-model")

loaded = MusicGen.from_pretrained("noise-model", device="cpu")
audio = loaded.generate("random weights make noise", duration=2, seed=0)
print(f"{audio.duration_seconds} s, {audio.loudness_lufs():.1f} LUFS, weights {loaded.weights[:12]}")
