"""A node for ComfyUI: words to music. Put this folder into `ComfyUI/custom_nodes`, beside `pip install cadenza`."""

from functools import lru_cache
from typing import Any, ClassVar

import torch

import cadenza


@lru_cache(maxsize=1)
def loaded(name: str) -> cadenza.MusicGen:
    return cadenza.load(name or None)


class CadenzaMusic:
    """Music from a prompt, in ComfyUI's AUDIO: {"waveform": [1, C, N], "sample_rate"}."""

    CATEGORY = "audio"
    FUNCTION = "generate"
    RETURN_TYPES: ClassVar = ("AUDIO",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "text": ("STRING", {"multiline": True, "default": "warm lo-fi beat with Rhodes piano, 82 bpm"}),
                "duration": ("FLOAT", {"default": 12.0, "min": 1.0, "max": 600.0}),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**53 - 1}),
                "guidance": ("FLOAT", {"default": 3.0, "min": 0.0, "max": 10.0, "step": 0.1}),
                "model": ("STRING", {"default": ""}),
            },
            "optional": {"melody": ("AUDIO",)},
        }

    def generate(
        self,
        text: str,
        duration: float,
        seed: int,
        guidance: float,
        model: str,
        melody: dict[str, Any] | None = None,
    ) -> tuple[dict[str, Any]]:
        music = loaded(model)
        tune = None if melody is None else cadenza.Audio(melody["waveform"][0].numpy(), melody["sample_rate"])
        audio = music.generate(text, duration=duration, seed=seed, guidance=guidance, melody=tune).normalize()
        return ({"waveform": torch.from_numpy(audio.samples)[None], "sample_rate": audio.sample_rate},)


NODE_CLASS_MAPPINGS = {"CadenzaMusic": CadenzaMusic}
NODE_DISPLAY_NAME_MAPPINGS = {"CadenzaMusic": "Cadenza: words to music"}
