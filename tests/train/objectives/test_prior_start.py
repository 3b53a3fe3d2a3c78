"""What a prior begins with: the same model where nothing else is promised, its weights in their places elsewhere."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from cadenza.convert.openai_jukebox_prior import RELEASED, prior_config
from cadenza.errors import UserError
from cadenza.jukebox.conditioner import ConditionerConfig
from cadenza.jukebox.labels import LabelConfig, LabelSet, Piece
from cadenza.jukebox.lyrics import EncodedLyrics, SequenceLyrics
from cadenza.jukebox.prior import Prior, PriorConfig
from cadenza.jukebox.vqvae import JukeboxVQVAE
from cadenza.train.objectives.prior_config import PriorObjectiveConfig
from cadenza.train.objectives.prior_start import begin, check_codes, copies_of, known_names, layers_from, open_start
from train.tiny_prior import CYCLE, TOP, UPSAMPLER, VQVAE, stack

NONE: dict[str, dict[int, int]] = {"artists": {}, "genres": {}}
LABELS = LabelConfig(version="v3", num_artists=3, num_genres=2, max_genres=2)
OLD = TOP.model_copy(update={"labels": LABELS, "transformer": stack(CYCLE * 2), "tied_head": False})
PIECES = [Piece(4000, 0, 2, (1,)), Piece(4000, 800, 0, (0, 1))]
CODES = torch.randint(16, (2, 64), generator=torch.Generator().manual_seed(2))


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def trained(config: PriorConfig = OLD) -> Prior:
    """All weights as random as those of a trained model."""
    prior = Prior(config)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.3, generator=generator(parameter.numel()))
    return prior


def grow(config: PriorConfig, start: Prior, copies: Mapping[str, Mapping[int, int]] = NONE) -> Prior:
    return begin(config, start, copies, generator())


@torch.no_grad()
def logits(prior: Prior, pieces: list[Piece] = PIECES) -> torch.Tensor:
    return prior(CODES, prior.conditions(pieces))


def test_new_labels_leave_old_ones_as_they_were() -> None:
    start = trained()
    more = LABELS.model_copy(update={"num_artists": 6, "num_genres": 3})
    prior = grow(OLD.model_copy(update={"labels": more}), start, {"artists": {4: 2}, "genres": {}})
    assert torch.equal(logits(prior), logits(start))
    old, new = start.labels, prior.labels
    assert old is not None and new is not None
    assert torch.equal(new.artists.weight[:3], old.artists.weight)
    # Row 4 was said to be like row 2; the others begin as the unknown.
    assert torch.equal(new.artists.weight[3:], old.artists.weight[[0, 2, 0]])
    assert torch.equal(new.genres.weight[2], old.genres.weight[0])
    with pytest.raises(UserError, match="row 1 of the artists is trained already"):
        grow(OLD.model_copy(update={"labels": more}), start, {"artists": {1: 2}, "genres": {}})


def test_lyrics_beside_the_sequence_change_no_bit_before_they_are_trained() -> None:
    """As 5b_lyrics begins with 5b: what is sung makes no difference, but learning begins at once."""
    start = trained()
    lyrics = EncodedLyrics(num_tokens=8, encoder=stack())
    kinds = (*CYCLE, "cross", *CYCLE, "cross")
    prior = grow(OLD.model_copy(update={"lyrics": lyrics, "transformer": stack(kinds)}), start)
    sung = [Piece(4000, 0, 2, (1,), (5, 6, 7)), PIECES[1]]
    assert torch.equal(logits(prior, sung), logits(start))
    prior.loss(CODES, prior.conditions(sung)).total.mean().backward()
    listening = prior.get_parameter("transformer.layers.3.attention.out_projection.weight")
    assert listening.grad is not None and float(listening.grad.abs().max()) > 0


def test_the_published_layers_find_their_places() -> None:
    configs = {name: prior_config(RELEASED[name], name) for name in ("5b", "5b_lyrics", "1b_lyrics")}
    layers = layers_from(configs["5b_lyrics"], configs["5b"])
    assert set(range(79)) - set(layers) == {18, 28, 38, 48, 58, 68, 78}
    assert list(layers.values()) == list(range(72))
    assert layers[17] == 17 and layers[19] == 18 and layers[77] == 71
    with pytest.raises(UserError, match="79 layers to begin with do not stand in order among 72"):
        layers_from(configs["1b_lyrics"], configs["5b_lyrics"])


def test_labels_and_timing_begin_as_nothing() -> None:
    start = trained(OLD.model_copy(update={"labels": None, "timing": None}))
    assert torch.equal(logits(grow(OLD, start)), logits(start))


@torch.no_grad()
def test_one_sequence_takes_over_what_both_have() -> None:
    """Lyrics stand in front: codes and their positions keep their vectors, layers their order."""
    start = trained(OLD.model_copy(update={"tied_head": True}))
    kinds = (*CYCLE, "prime", *CYCLE[1:])
    changes = {"lyrics": SequenceLyrics(num_tokens=8), "transformer": stack(kinds), "tied_head": True}
    prior = grow(OLD.model_copy(update=changes), start)
    assert torch.equal(prior.embedding.weight[79:], start.embedding.weight)
    assert torch.equal(prior.positions[8:], start.positions)
    for name, tensor in start.transformer.named_parameters():
        assert torch.equal(prior.transformer.get_parameter(name), tensor)
    assert float(prior.embedding.weight[:79].std()) > 0.01  # characters are new
    again = grow(OLD.model_copy(update=changes), prior)
    assert all(torch.equal(one, other) for one, other in zip(again.parameters(), prior.parameters(), strict=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transformer": stack(CYCLE)}, "6 layers to begin with do not stand in order among 3"),
        ({"context_length": 32}, r"positions is \[64, 16\] .* and \[32, 16\]"),
        ({"codebook_size": 32}, r"embedding.weight is \[16, 16\]"),
        ({"timing": None, "conditioner": ConditionerConfig(width=4, depth=1, num_ups=1)}, "has no conditioner"),
        ({"timing": None}, "has timing, the new one has not"),
    ],
)
def test_what_has_nothing_to_do_with_it_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        grow(OLD.model_copy(update=changes), trained())


def test_a_prior_is_of_one_vqvae() -> None:
    vqvae = JukeboxVQVAE(VQVAE)
    check_codes(TOP, vqvae)
    check_codes(UPSAMPLER, vqvae)
    for shape, message in (
        (TOP.model_copy(update={"level": 2}), "a prior of level 2, but the VQ-VAE has levels 0 to 1"),
        (UPSAMPLER.model_copy(update={"level": 1}), "a prior of level 1"),
        (TOP.model_copy(update={"hop_length": 16}), "hop_length of level 1: 16 in the prior, 8 in the VQ-VAE"),
        (
            UPSAMPLER.model_copy(update={"conditioner": ConditionerConfig(num_ups=2)}),
            "codes per code of the level above of level 0: 4 in the prior, 2",
        ),
    ):
        with pytest.raises(UserError, match=message):
            check_codes(shape, vqvae)


def test_names_are_found_where_the_model_is(tmp_path: Path) -> None:
    config = PriorObjectiveConfig(vqvae="", start_from=str(tmp_path))
    assert known_names(config, OLD) is None
    (tmp_path / "labels.json").write_text('{"version": "v3", "artists": {"bo": 1}, "genres": {}}')
    found = known_names(config, OLD)
    assert found is not None and found.artists == {"bo": 1}
    other = OLD.model_copy(update={"labels": LabelConfig(version="v2")})
    with pytest.raises(UserError, match="has labels of version v3, the model v2"):
        known_names(config, other)
    with pytest.raises(UserError, match="nothing says what to train"):
        open_start(PriorObjectiveConfig(vqvae=""))


def test_likeness_is_between_two_artists_or_two_genres() -> None:
    names = LabelSet("v3", {"bo": 1, "new band": 5}, {"rock": 1, "new rock": 2})
    alike = {"New Band": "Bo", "new rock": "rock"}
    assert copies_of(alike, names) == {"artists": {5: 1}, "genres": {2: 1}}
    with pytest.raises(UserError, match="'bo' and 'rock' are not two artists or two genres"):
        copies_of({"bo": "rock"}, names)
