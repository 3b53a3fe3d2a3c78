"""Models of `transformers` with random weights, for tests that put them beside ours."""

from pathlib import Path
from typing import Any

import torch

T5 = Path(__file__).parent / "parity" / "t5_tiny"
TEXTS = ["happy rock song with guitar and drums", "slow sad piano melody"]
FRAMES = 12
"""of 20 ms, generated in a comparison"""
# Float32 sums in another order; measured 7e-6 on logits of size 7 and 3e-7 on audio of size 0.5.
CLOSE = {"atol": 3e-5, "rtol": 1e-5}

CODECS: dict[str, dict[str, Any]] = {
    "24 kHz": {"num_filters": 4, "hidden_size": 16, "codebook_size": 32, "target_bandwidths": [1.5, 3.0]},
    "32 kHz": {
        "sampling_rate": 32000,
        "target_bandwidths": [1.2],
        "num_filters": 4,
        "upsampling_ratios": [8, 5, 4, 4],
        "codebook_size": 64,
        "hidden_size": 16,
        "use_causal_conv": False,
        "use_conv_shortcut": False,
    },
    "48 kHz": {
        "sampling_rate": 48000,
        "audio_channels": 2,
        "normalize": True,
        "chunk_length_s": 0.1,
        "overlap": 0.01,
        "num_filters": 4,
        "hidden_size": 16,
        "codebook_size": 32,
        "norm_type": "time_group_norm",
        "use_causal_conv": False,
        "target_bandwidths": [1.5, 3.0],
    },
}


def random_codec(kind: str) -> Any:
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(0)
    codec = EncodecModel(EncodecConfig(**CODECS[kind])).eval()
    for layer in codec.quantizer.layers:
        layer.codebook.embed.normal_()
    return codec


def random_musicgen(stereo: bool, melody: bool = False) -> Any:
    """`MusicgenForConditionalGeneration` or `MusicgenMelodyForConditionalGeneration`; its text encoder is `T5`."""
    import transformers
    from transformers import T5EncoderModel

    kind = "MusicgenMelody" if melody else "Musicgen"
    config_class, decoder_class, model_class = (
        getattr(transformers, f"{kind}{part}") for part in ("Config", "DecoderConfig", "ForConditionalGeneration")
    )
    torch.manual_seed(0)
    text, codec = T5EncoderModel.from_pretrained(T5), random_codec("32 kHz")
    decoder = decoder_class(
        vocab_size=64,
        num_hidden_layers=2,
        ffn_dim=64,
        num_attention_heads=4,
        hidden_size=32,
        num_codebooks=8 if stereo else 4,
        audio_channels=2 if stereo else 1,
        pad_token_id=64,
        bos_token_id=64,
        dropout=0.0,
        initializer_factor=0.3,
    )
    config = config_class(
        text_encoder=text.config.to_dict(), audio_encoder=codec.config.to_dict(), decoder=decoder.to_dict()
    )
    model = model_class(config).eval()
    model.text_encoder.load_state_dict(text.state_dict())
    model.audio_encoder.load_state_dict(codec.state_dict())
    for key in ("decoder_start_token_id", "pad_token_id", "bos_token_id"):
        setattr(model.generation_config, key, 64)
    return model


def tokens(*texts: str) -> Any:
    """Of these texts, or of `TEXTS`."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(T5)(list(texts or TEXTS), padding=True, return_tensors="pt")


def their_audio(model: Any, batch: Any, **settings: Any) -> torch.Tensor:
    # The start step is given; the last codebook ends three steps after the first.
    return model.generate(**batch, do_sample=False, max_new_tokens=FRAMES + 3, **settings)
