"""Long recordings are encoded in pieces: the same latent, at every length."""

from functools import partial

import pytest
import torch

from cadenza.codec import seanet
from cadenza.codec.seanet import SEANetConfig, SEANetEncoder


def note_length(lengths: list[int], module: torch.nn.Module, given: tuple[torch.Tensor]) -> None:
    lengths.append(given[0].shape[-1])


@pytest.mark.parametrize(
    "config",
    [
        SEANetConfig(num_filters=2, ratios=(8, 5, 4, 4), num_lstm_layers=1),
        SEANetConfig(num_filters=2, ratios=(3, 2), causal=True, num_residual_layers=2, identity_shortcut=False),
        SEANetConfig(num_filters=2, ratios=(2, 2), num_residual_layers=3, residual_kernel_size=7, num_lstm_layers=0),
    ],
)
def test_pieces_join_to_the_whole(config: SEANetConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    encoder = SEANetEncoder(config, 1, 4).eval()
    for more in (1, config.hop_length // 2, 3 * config.hop_length):
        audio = torch.randn(2, 1, 50 * config.hop_length + more)
        with torch.no_grad():
            whole = encoder(audio)
            monkeypatch.setattr(seanet, "PIECE_FRAMES", 12)
            lengths: list[int] = []
            hook = encoder.layers[0].register_forward_pre_hook(partial(note_length, lengths))
            pieces = encoder(audio)
            hook.remove()
            monkeypatch.undo()
        assert len(lengths) == 5
        assert max(lengths) < 50 * config.hop_length
        # float32: sums of a piece may be in another order
        torch.testing.assert_close(pieces, whole, rtol=1e-4, atol=1e-5)


def test_what_is_normalised_over_time_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seanet, "PIECE_FRAMES", 4)
    config = SEANetConfig(num_filters=2, ratios=(2, 2), norm="time_group_norm", num_lstm_layers=0)
    encoder = SEANetEncoder(config, 1, 4).eval()
    monkeypatch.setattr(encoder, "_in_pieces", None)  # would be called
    with torch.no_grad():
        assert encoder(torch.randn(1, 1, 100)).shape == (1, 4, 25)
