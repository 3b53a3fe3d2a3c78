"""EnCodec: streaming equals one-shot, lengths, the exact lookahead, scales, stereo, official size."""

import pytest
import torch
import transformers
from torch import nn

from cadenza.codec.base import exactly
from cadenza.codec.encodec import EnCodec, EnCodecConfig
from cadenza.codec.seanet import SEANetConfig
from cadenza.codec.spectral import SpectralConfig
from cadenza.codec.stereo import StereoCodec
from cadenza.errors import UserError


def tiny(kind="seanet", **changes):
    torch.manual_seed(0)
    if kind == "seanet":
        half = SEANetConfig(num_filters=4, ratios=(4, 2, 5), **changes)
    else:
        half = SpectralConfig(
            hop_length=40,
            dim=16,
            num_layers=2,
            fast_dim=8,
            fast_layers=2,
            num_mels=8,
            num_tones=16,
            tone_window=256,
            **changes,
        )
    return EnCodec(EnCodecConfig(sample_rate=8000, codebook_size=32, latent_dim=16, encoder=half, decoder=half)).eval()


CODECS = [
    ("seanet", {}),
    ("seanet", {"causal": True, "pad_mode": "constant"}),
    ("seanet", {"identity_shortcut": False}),
    ("spectral", {}),
    ("spectral", {"low_bins": 20, "low_dim": 8}),
]


@pytest.mark.parametrize(("kind", "changes"), CODECS)
@pytest.mark.parametrize("sizes", [(1,), (7, 1, 3)])
def test_streamed_decode_equals_one_shot(kind, changes, sizes):
    codec = tiny(kind, **changes)
    codes = torch.randint(0, 32, (2, 4, 33))
    state, pieces, start = codec.new_decode_state(), [], 0
    while start < 33:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(codec.decode_step(codes[..., start : start + size], state, start + size >= 33))
        start += size
    # Streaming sums the same products in another order: fp32 rounding, which a phase of a weak bin magnifies.
    torch.testing.assert_close(
        torch.cat(pieces, -1), codec.decode(codes), atol=1e-6 if kind == "seanet" else 1e-5, rtol=0
    )


@pytest.mark.parametrize(("kind", "changes"), CODECS)
@torch.no_grad()
def test_packed_decode_equals_plain(kind, changes):
    """Through the whole decoder, at once (in pieces of its own) and streamed; and on another number of threads."""
    codec = tiny(kind, **changes)
    codes = torch.randint(0, 32, (2, 4, 60))
    expected = codec.decode(codes)
    codec.pack()
    packed = codec.decode(codes)
    # Magnitudes that differ by fp32 rounding have peaks whose frequencies differ by more, and so their phases.
    torch.testing.assert_close(packed, expected, atol=1e-6 if kind == "seanet" else 1e-4, rtol=0)
    threads = torch.get_num_threads()
    torch.set_num_threads(3 - min(threads, 2))
    try:
        torch.testing.assert_close(codec.decode(codes), packed, atol=1e-6, rtol=0)
    finally:
        torch.set_num_threads(threads)
    state = codec.new_decode_state()
    pieces = [codec.decode_step(codes[..., a:b], state, b == 60) for a, b in ((0, 1), (1, 12), (12, 55), (55, 60))]
    tolerance = 1e-6 if kind == "seanet" else 1e-5  # as for streams
    torch.testing.assert_close(torch.cat(pieces, -1), packed, atol=tolerance, rtol=0)
    codec.train()
    assert codec.state_dict().keys() == tiny(kind, **changes).state_dict().keys()


@pytest.mark.parametrize(("kind", "changes"), CODECS)
def test_lookahead_is_exact(kind, changes):
    """A change of frame t leaves alone whatever lies more than the lookahead before it (SEANet: and no more)."""
    codec = tiny(kind, **changes)
    codes = torch.randint(0, 32, (1, 4, 40))
    other = codes.clone()
    other[..., 20] = (codes[..., 20] + 1) % 32
    changed = (codec.decode(codes) - codec.decode(other))[0, 0].abs() > 1e-9
    first = int(changed.nonzero()[0])
    expected = 20 * codec.hop_length - codec.lookahead_frames * codec.hop_length
    assert first >= expected - 0.5
    # A spectral decoder's farthest frames act through several windows' vanishing edges.
    assert first <= expected + (0 if kind == "seanet" else 3 * codec.hop_length)


def test_official_lookahead_is_three_and_three_quarters():
    with torch.device("meta"):
        assert EnCodec(EnCodecConfig()).lookahead_frames == pytest.approx(3.75, abs=0.01)


def test_official_parameter_counts():
    with torch.device("meta"):
        codec = EnCodec(EnCodecConfig())
    assert sum(p.numel() for p in codec.encoder.parameters()) == 28_441_984
    assert sum(p.numel() for p in codec.decoder.parameters()) == 28_442_690
    assert sum(b.numel() for b in codec.quantizer.buffers()) == 2_105_348


@pytest.mark.parametrize("samples", [1, 39, 40, 41, 400])
@pytest.mark.parametrize("kind", ["seanet", "spectral"])
def test_frames_are_the_ceiling_of_samples_over_hop(samples, kind):
    codec = tiny(kind)
    codes = codec.encode(torch.randn(1, 1, samples) * 0.1).codes
    assert codes.shape == (1, 4, -(-samples // 40))
    assert codec.decode(codes).shape[-1] == codes.shape[-1] * 40


def test_batch_equals_items():
    codec = tiny()
    audio = torch.randn(3, 1, 400)
    together = codec.encode(audio).codes
    apart = torch.cat([codec.encode(item[None]).codes for item in audio])
    assert torch.equal(together, apart)


def test_stereo_interleaves_and_is_two_monos():
    mono = tiny()
    stereo = StereoCodec(mono)
    audio = torch.randn(2, 2, 400)
    codes = stereo.encode(audio).codes
    assert torch.equal(codes[:, 0::2], mono.encode(audio[:, :1]).codes)
    assert torch.equal(codes[:, 1::2], mono.encode(audio[:, 1:]).codes)
    torch.testing.assert_close(stereo.decode(codes)[:, 1:], mono.decode(codes[:, 1::2]))
    plain = stereo.decode(codes)
    stereo.pack()
    torch.testing.assert_close(stereo.decode(codes), plain, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("kind", "changes"), [CODECS[0], CODECS[-1]])
def test_training_pass_reaches_encoder_and_decoder(kind, changes):
    codec = tiny(kind, **changes).train()
    out = codec.forward_train(torch.randn(2, 1, 400) * 0.1, torch.Generator().manual_seed(0))
    (out.audio.pow(2).mean() + out.commitment).backward()
    assert out.audio.shape == (2, 1, 400)
    missing = [name for name, p in codec.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not missing
    assert out.bandwidth_kbps == pytest.approx(4 * 5 * 200 / 1000)


def copy_weights(ours: EnCodec, theirs: nn.Module) -> None:
    """transformers' names to ours; its weight norm lives in a parametrization."""
    state = {}
    for name, tensor in theirs.state_dict().items():
        name = name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        )
        name = name.replace(".codebook.", ".")
        state[name] = tensor
    ours.load_state_dict(state)


def test_48_khz_variant_agrees_with_transformers():
    """Segments with overlap, loudness scales, group norm over time, convolution shortcuts, two channels."""
    torch.manual_seed(0)
    config = transformers.EncodecConfig(
        sampling_rate=1600,
        audio_channels=2,
        normalize=True,
        chunk_length_s=1.0,
        overlap=0.01,
        num_filters=4,
        upsampling_ratios=[4, 2],
        codebook_size=16,
        codebook_dim=8,
        hidden_size=8,
        norm_type="time_group_norm",
        use_causal_conv=False,
        target_bandwidths=[3.2],
        num_lstm_layers=1,
        use_conv_shortcut=True,
    )
    theirs = transformers.EncodecModel(config).eval()
    for layer in theirs.quantizer.layers:  # created as zeros
        layer.codebook.embed.normal_()
    half = SEANetConfig(
        num_filters=4, ratios=(4, 2), norm="time_group_norm", identity_shortcut=False, num_lstm_layers=1
    )
    books = len(theirs.quantizer.layers)
    ours = EnCodec(
        EnCodecConfig(
            sample_rate=1600,
            channels=2,
            codebook_size=16,
            num_codebooks=books,
            latent_dim=8,
            encoder=half,
            decoder=half,
            renormalize=True,
            segment_seconds=1.0,
            segment_overlap=0.01,
        )
    ).eval()
    copy_weights(ours, theirs)
    # transformers wants whole strides plus one overlap; two full segments.
    audio = torch.randn(1, 2, 1600 + 1584)
    with torch.no_grad():
        expected = theirs.encode(audio, bandwidth=3.2)
        decoded = theirs.decode(expected.audio_codes, expected.audio_scales)[0]
    used = expected.audio_codes.shape[2]
    codes = ours.encode(audio)
    frames = codes.codes.shape[-1]
    # transformers pads the codes of the short last segment to a full one; ours end with the audio.
    assert torch.equal(codes.codes[:, :used], torch.cat(list(expected.audio_codes), dim=-1)[..., :frames])
    torch.testing.assert_close(codes.scale, torch.cat([s.view(1, 1) for s in expected.audio_scales], dim=1))
    final = 2 * 1584  # the padded segment begins here
    ours_decoded = ours.decode(codes.codes[:, :used], codes.scale)
    torch.testing.assert_close(ours_decoded[..., :final], decoded[..., :final], atol=1e-5, rtol=1e-4)


def test_the_spectral_training_pass_judges_magnitudes_by_themselves():
    """The original's phases tell the pitch: without a distance of magnitudes the codes would not have to."""
    codec = tiny("spectral").train()
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(800) / 8000)[None, None] * 0.3
    out = codec.forward_train(tone, torch.Generator().manual_seed(0))
    out.spectrum.backward()
    assert float(out.spectrum.detach()) > 0.1
    assert float(codec.decoder.head.weight.grad.abs().sum()) > 0
    assert tiny("seanet").train().forward_train(tone, torch.Generator().manual_seed(0)).spectrum == 0


def test_what_cannot_be_is_said():
    half = SEANetConfig(num_filters=4, ratios=(4, 2, 5))
    codec = EnCodec(EnCodecConfig(encoder=half, decoder=half, segment_seconds=1.0, codebook_size=8))
    with pytest.raises(UserError, match="use decode for the whole"):
        codec.decode_step(torch.zeros(1, 2, 1, dtype=torch.int64), codec.new_decode_state(), last=True)
    with pytest.raises(UserError, match="decoder's 4: make them equal"):
        EnCodec(EnCodecConfig(encoder=SEANetConfig(ratios=(4, 2)), decoder=SEANetConfig(ratios=(2, 2))))


def cudnn_settings():
    cudnn = torch.backends.cudnn
    return cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, cudnn.deterministic, cudnn.benchmark


def test_on_cuda_a_codec_works_in_float32_and_leaves_settings_as_they_were():
    before = cudnn_settings()
    with exactly(torch.device("cuda")):
        assert cudnn_settings() == ("ieee", "ieee", True, False)
    assert cudnn_settings() == before != ("ieee", "ieee", True, False)
    with exactly(torch.device("cpu")):
        assert cudnn_settings() == before


@pytest.mark.parametrize("work", ["encode", "decode", "decode_step"])
def test_all_that_a_codec_does_is_exact(monkeypatch, work):
    """Whatever the device: each convolution is looked at while it works."""
    codec, seen = tiny(), []
    monkeypatch.setattr("cadenza.codec.encodec.exactly", lambda device: exactly(torch.device("cuda")))
    for layer in (codec.encoder, codec.decoder):
        for module in layer.modules():
            module.register_forward_pre_hook(lambda *_: seen.append(cudnn_settings()[0]))
    decode = codec.quantizer.decode  # a streamed decoder calls no hooks
    monkeypatch.setattr(codec.quantizer, "decode", lambda codes: seen.append(cudnn_settings()[0]) or decode(codes))
    codes = torch.randint(0, 32, (1, 4, 6))
    if work == "encode":
        codec.encode(torch.randn(1, 1, 400))
    elif work == "decode":
        codec.decode(codes)
    else:
        codec.decode_step(codes, codec.new_decode_state(), last=True)
    assert set(seen) == {"ieee"}


@pytest.mark.gpu
def test_on_cuda_sound_is_that_of_the_cpu_to_float32():
    codec = tiny()
    codes = torch.randint(0, 32, (2, 4, 50))
    expected = codec.decode(codes)
    found = codec.cuda().decode(codes.cuda()).cpu()
    # TensorFloat-32 keeps 10 bits and is off by 1e-3
    torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)
