"""Opus: the bit rates asked for are about those spent, only packets count, and more bits bring it nearer."""

import io

import numpy as np
import pytest
import soundfile

from cadenza.audio import Audio
from cadenza.errors import CadenzaError, UserError
from cadenza.evaluate.fidelity import si_sdr
from cadenza.evaluate.opus import code_opus, packet_bytes, through_48k
from data.recordings import tune


def ratio(made: Audio, music: Audio) -> float:
    import torch

    return float(si_sdr(torch.from_numpy(made.samples), torch.from_numpy(music.samples))[0])


def test_rates_are_reached_and_more_of_it_is_nearer():
    music = tune(1, rate=32000)
    ratios = []
    for kbps in (8.0, 24.0, 64.0):
        made, spent = code_opus(music, kbps)
        assert (made.samples.shape, made.sample_rate) == (music.samples.shape, 32000)
        assert spent == pytest.approx(kbps, rel=0.25)  # variable bit rate: notes and pauses differ
        ratios.append(ratio(made, music))
    assert ratios == sorted(ratios)
    assert ratios[-1] > ratios[0] + 6
    assert ratio(through_48k(music), music) > ratios[-1]


def test_each_channel_takes_six_kbps_at_least():
    stereo = tune(1, 1.0).with_channels(2)
    with pytest.raises(UserError, match="choose 12 to 512"):
        code_opus(stereo, 8.0)
    assert code_opus(stereo, 12.0)[0].channels == 2


def test_headers_and_pages_are_not_counted():
    content = io.BytesIO()
    soundfile.write(content, np.zeros(48000, np.float32), 48000, format="OGG", subtype="OPUS")
    whole = content.getvalue()
    # What is left out: OpusHead (19 bytes), OpusTags, and 27 bytes and the lacing values of every page.
    assert 0 < packet_bytes(whole) < len(whole) - 3 * 27 - 19
    with pytest.raises(CadenzaError, match="no Ogg page"):
        packet_bytes(b"RIFF" + whole)
