"""One level of the Jukebox hierarchy: an autoregressive model of that level's codes.

In: codes `[B, T]` of one window and what the window is conditioned on. Out: logits, those at position t for what stands
at t. Dhariwal et al. (2020), "Jukebox: A Generative Model for Music" (arXiv 2005.00341), sections 4 and 5. The top
level hears artist, genres, timing and lyrics; the upsamplers artist, genres and the level above.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from cadenza.checkpoint import Config, Pretrained
from cadenza.errors import UserError
from cadenza.jukebox.cache import SequenceCache
from cadenza.jukebox.conditioner import Conditioner, ConditionerConfig
from cadenza.jukebox.labels import LabelConfig, LabelEmbedding, Piece, start_positions
from cadenza.jukebox.lyric_encoder import LyricEncoder
from cadenza.jukebox.lyrics import EncodedLyrics, LyricsConfig, SequenceLyrics, Vocabulary, lyric_window
from cadenza.jukebox.timing import Timing, TimingConfig
from cadenza.jukebox.transformer import Transformer, TransformerConfig
from cadenza.nn.linear import pack_linears
from cadenza.nn.packing import Packable
from cadenza.nn.reorder import Reordered, packable


class PriorConfig(Config):
    """Defaults: what the published upsampler of level 0 and the top priors share (reference, section 3.5)."""

    level: int = Field(0, ge=0, le=15, description="level of the hierarchy, 0 is the finest")
    sample_rate: int = Field(44100, ge=1, le=1_000_000, description="of the audio, Hz")
    hop_length: int = Field(8, ge=1, le=1_000_000, description="samples per code of this level")
    codebook_size: int = Field(2048, ge=2, le=65536, description="codes per codebook, of this level and the one above")
    context_length: int = Field(8192, ge=1, le=1_000_000, description="codes in a window, T")
    transformer: TransformerConfig = Field(description="the stack of layers")
    tied_head: bool = Field(
        True, description="predict with the embedding's weights, conditions added once more; False: an own head"
    )
    labels: LabelConfig | None = Field(None, description="artist and genres; None: a learned start vector")
    timing: TimingConfig | None = Field(None, description="where the window lies in its piece")
    lyrics: LyricsConfig | None = Field(None, description="what is sung")
    conditioner: ConditionerConfig | None = Field(None, description="the level above, of an upsampler")
    init_scale: float = Field(1.0, gt=0, description="of random weights")

    @property
    def lyrics_in_sequence(self) -> int:
        """Positions in front of the music."""
        return self.lyrics.num_tokens if isinstance(self.lyrics, SequenceLyrics) else 0

    @property
    def length(self) -> int:
        """Positions of a window, lyrics included."""
        return self.lyrics_in_sequence + self.context_length

    @property
    def window_samples(self) -> int:
        """Audio in a window, samples."""
        return self.context_length * self.hop_length


class PriorConditions(NamedTuple):
    """What one window hears, for each item of a batch."""

    start: Float[Tensor, "B 1 D"]
    """Stands before everything else."""
    added: Float[Tensor, "B T D"] | None = None
    """Added to the input of each code."""
    lyrics: Int[Tensor, "B L"] | None = None
    source: Float[Tensor, "B L D"] | None = None
    """The lyrics as an encoder read them."""


class PriorLoss(NamedTuple):
    """Bits per token of each item; `total` weighs them as the published models were trained."""

    total: Float[Tensor, "B"]
    music: Float[Tensor, "B"]
    lyrics: Float[Tensor, "B"] | None


class TokenEmbedding(nn.Embedding):
    """Kept in float32, for it is the head as well."""

    float32_weights = True


class Head(nn.Linear):
    """Kept in float32."""

    float32_weights = True


class Prior(Packable, Pretrained):
    """`logits = head(transformer(shifted tokens + positions + conditions) [+ conditions])`.

    Tokens are the characters of lyrics in the sequence, if there are any, and behind them the codes. Speaks
    `cadenza.engine.protocol.Decoder` for one stream, but for the type of its cache.
    """

    config_class = PriorConfig

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.config = config
        if config.conditioner is not None and config.timing is not None:
            raise UserError("a prior hears the level above or the timing, not both: leave one out")
        listens = "cross" in config.transformer.layers
        if listens != isinstance(config.lyrics, EncodedLyrics):
            raise UserError("layers of the kind cross and encoded lyrics need each other: give both or none")
        dim = config.transformer.dim
        grid = config.transformer.grid(config.length, config.lyrics_in_sequence)
        self.num_symbols = len(Vocabulary(config.lyrics.version)) if isinstance(config.lyrics, SequenceLyrics) else 0
        """Tokens in front of the codes."""
        self.embedding = TokenEmbedding(self.vocabulary_size, dim)
        self.positions = nn.Parameter(torch.zeros(config.length, dim))
        self.transformer = Transformer(config.transformer, grid)
        self.head = None if config.tied_head else Head(dim, self.vocabulary_size, bias=False)
        self.labels = LabelEmbedding(config.labels, dim) if config.labels else None
        self.start = None if config.labels else nn.Parameter(torch.zeros(1, dim))
        self.timing = (
            Timing(config.timing, config.sample_rate, config.context_length, dim) if config.timing is not None else None
        )
        self.conditioner = Conditioner(config.conditioner, config.codebook_size, dim) if config.conditioner else None
        self.lyric_encoder = LyricEncoder(config.lyrics, dim) if isinstance(config.lyrics, EncodedLyrics) else None

    @classmethod
    def from_pretrained(
        cls, directory: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
    ) -> "Prior":
        """As `Pretrained`, but None is float32: the published 5b models store weights of two precisions."""
        return super().from_pretrained(directory, device, dtype or torch.float32)

    @property
    def vocabulary_size(self) -> int:
        """Tokens, V: symbols of lyrics, then codes."""
        return self.num_symbols + self.config.codebook_size

    @property
    def special_token(self) -> int:
        """Stands for whatever precedes the first code: the start vector, or the last character of the lyrics."""
        return self.vocabulary_size

    @property
    def device(self) -> torch.device:
        return self.embedding.weight.device

    # ---- conditions ------------------------------------------------------------------------------------------------

    def conditions(
        self, pieces: Sequence[Piece], start: int = 0, upper_codes: Int[Tensor, "B U"] | None = None
    ) -> PriorConditions:
        """What the window hears that begins `start` codes into the sampled part.

        `upper_codes` are those of the level above for this window; fewer than a window's worth (at the end of a short
        piece) condition as many codes as they stand for. Raises UserError for labels the model has no row for.
        """
        config = self.config
        times = start_positions(pieces, start * config.hop_length, self.device)
        if self.labels is not None:
            vector = self.labels(pieces)
        else:
            assert self.start is not None
            vector = self.start.float().expand(len(pieces), 1, -1)
        added = None
        if self.timing is not None:
            added = self.timing(times, config.window_samples)
        elif self.conditioner is not None:
            if upper_codes is None:
                raise UserError(f"level {config.level} needs the codes of level {config.level + 1}: give upper_codes")
            added = self.conditioner(upper_codes[:, : config.context_length // self.conditioner.config.stride])
        if config.lyrics is None:
            return PriorConditions(vector, added)
        lyrics = self._heard(pieces, times)
        source = None if self.lyric_encoder is None else self.lyric_encoder(lyrics)
        return PriorConditions(vector, added, lyrics, source)

    def _heard(self, pieces: Sequence[Piece], times: Int[Tensor, "B 2"]) -> Int[Tensor, "B L"]:
        lyrics = self.config.lyrics
        assert lyrics is not None
        rows = []
        for piece, (total, start) in zip(pieces, times.tolist(), strict=True):
            Vocabulary(lyrics.version).check(piece.lyrics)
            if len(piece.lyrics) >= lyrics.num_tokens and total < 1:
                raise UserError("lyrics need the length of their piece: give total_length")
            window = lyric_window(len(piece.lyrics), lyrics.num_tokens, total, start, self.config.window_samples)
            rows.append(window.of(piece.lyrics))
        return torch.tensor(rows, device=self.device)

    # ---- teacher forced --------------------------------------------------------------------------------------------

    def forward(self, codes: Int[Tensor, "B T"], conditions: PriorConditions) -> Float[Tensor, "B n V"]:
        """Logits of every token of a window at once; of lyrics in the sequence, too, in front of the codes'."""
        hidden, added = self.hidden(codes, conditions)
        return self._logits(hidden, added)

    def hidden(
        self, codes: Int[Tensor, "B T"], conditions: PriorConditions
    ) -> tuple[Float[Tensor, "B n D"], Float[Tensor, "B n D"] | None]:
        """What the stack makes of a window, and what was added to its input."""
        x, added = self.embedded(codes, conditions)
        return self.transformer(x, conditions.source), added

    def embedded(
        self, codes: Int[Tensor, "B T"], conditions: PriorConditions
    ) -> tuple[Float[Tensor, "B n D"], Float[Tensor, "B n D"] | None]:
        """The stack's input, and what was added to it."""
        tokens = codes + self.num_symbols
        if self.num_symbols:
            assert conditions.lyrics is not None, "a prior with lyrics in its sequence needs them"
            tokens = torch.cat([conditions.lyrics, tokens], dim=1)
        length = tokens.shape[1]
        x = torch.cat([conditions.start, self.embedding(tokens[:, :-1]).float()], dim=1)
        x = x + self.positions[:length].float()
        added = self._added(conditions)
        if added is not None:
            added = added[:, :length]
            x = x + added
        return x, added

    def loss(self, codes: Int[Tensor, "B T"], conditions: PriorConditions) -> PriorLoss:
        """Bits per code and per character: cross-entropies over ln 2."""
        logits = self(codes, conditions)
        front = logits.shape[1] - codes.shape[1]
        music = _bits(logits[:, front:], codes + self.num_symbols)
        lyrics = self.config.lyrics
        if lyrics is None:
            return PriorLoss(music, music, None)
        assert conditions.lyrics is not None
        if self.lyric_encoder is not None:
            assert conditions.source is not None
            sung = _bits(self.lyric_encoder.logits(conditions.source), conditions.lyrics)
        else:
            sung = _bits(logits[:, :front], conditions.lyrics)
        share = lyrics.num_tokens / (lyrics.num_tokens + codes.shape[1])
        return PriorLoss(lyrics.loss_weight * sung * share + music * (1 - share), music, sung)

    # ---- step by step ----------------------------------------------------------------------------------------------

    def new_cache(self, batch: int, max_steps: int | None = None) -> SequenceCache:
        """State for windows of `batch` items, of at most `max_steps` positions, lyrics in the sequence included."""
        return self._new_cache(batch, max_steps, self.device)

    def cache_bytes(self, batch: int, max_steps: int | None = None) -> int:
        """What `new_cache` would take."""
        return self._new_cache(batch, max_steps, torch.device("meta")).num_bytes

    def _new_cache(self, batch: int, max_steps: int | None, device: torch.device) -> SequenceCache:
        shape, grid = self.config.transformer, self.transformer.grid
        if max_steps is not None:
            grid = grid._replace(rows=min(grid.rows, -(-max_steps // grid.columns)))
        head_dim = shape.attention_dim // shape.num_heads
        dtype = self.transformer.compute_dtype
        return SequenceCache(batch, grid, shape.layers, shape.num_heads, head_dim, device, dtype)

    def prefill(self, cache: SequenceCache, conditions: PriorConditions) -> None:
        """Take in what the window hears, lyrics included; the next token to feed is the special one."""
        assert cache.length == 0, "prefill needs an empty cache: call reset() first"
        cache.positions = self.positions
        cache.added = self._added(conditions)
        for layer, source in zip(cache.layers, self.transformer.sources(conditions.source), strict=True):
            layer.source = source
        cache.opening = conditions.start
        if self.num_symbols:
            assert conditions.lyrics is not None, "a prior with lyrics in its sequence needs them"
            embedded = self.embedding(conditions.lyrics).float()
            cache.opening = embedded[:, -1:]
            self.transformer.advance(torch.cat([conditions.start, embedded[:, :-1]], dim=1), cache)

    def feed(self, sequence: Int[Tensor, "B 1 s"], cache: SequenceCache) -> None:
        """Let the cache hold the next `s` tokens."""
        self.transformer.advance(self._embed(sequence, cache), cache)

    def step(self, sequence: Int[Tensor, "B 1 s"], cache: SequenceCache) -> Float[Tensor, "B 1 s V"]:
        """Logits of what follows each of the next `s` tokens; the cache then holds them."""
        steps = sequence.shape[2]
        added = cache.addition(steps) if self.head is None else None
        return self._logits(self.transformer.advance(self._embed(sequence, cache), cache), added)[:, None]

    def pack(self) -> None:
        """Bring the weights into the order in which a CPU decodes fastest (elsewhere: nothing); `train()` undoes it.

        The head's are then held twice, if they are the embedding's too. Logits have the same bits on any number of
        threads; a song alone has other ones than beside others, and is made faster.
        """
        pack_linears(self, hurried=True)
        weight = self._head_weight.detach().float()
        if packable(weight):
            self._packed = [Reordered.pack(weight, hurried=True).packed]

    # ---- parts -----------------------------------------------------------------------------------------------------

    def _embed(self, sequence: Int[Tensor, "B 1 s"], cache: SequenceCache) -> Float[Tensor, "B s D"]:
        assert cache.opening is not None, "step before prefill"
        tokens = sequence[:, 0]
        embedded = self.embedding(tokens.clamp(max=self.special_token - 1)).float()
        return torch.where((tokens == self.special_token)[..., None], cache.opening, embedded)

    def _added(self, conditions: PriorConditions) -> Float[Tensor, "B n D"] | None:
        """What is added to every position; lyrics in the sequence get nothing."""
        if conditions.added is None:
            return None
        return F.pad(conditions.added, (0, 0, self.config.lyrics_in_sequence, 0))

    def _logits(self, hidden: Float[Tensor, "B s D"], added: Float[Tensor, "b s D"] | None) -> Float[Tensor, "B s V"]:
        if self.head is None and added is not None:
            hidden = hidden + added
        with torch.autocast(hidden.device.type, enabled=False):  # in float32, as published
            if self.is_packed:
                return Reordered(self._packed[0], hurried=True)(hidden.float())
            return F.linear(hidden.float(), self._head_weight.float())

    @property
    def _head_weight(self) -> Float[Tensor, "V D"]:
        return self.embedding.weight if self.head is None else self.head.weight

    # ---- initialisation --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def initialize(self, generator: torch.Generator | None = None) -> None:
        """Random weights as published (reference, section 3.2); an own head and convolutions as PyTorch makes them."""
        scale = self.config.init_scale
        nn.init.normal_(self.embedding.weight, 0.0, 0.02 * scale, generator=generator)
        nn.init.normal_(self.positions, 0.0, 0.01 * scale, generator=generator)
        if self.start is not None:
            nn.init.normal_(self.start, 0.0, 0.01 * scale, generator=generator)
        for part in (self.labels, self.timing):
            for table in part.modules() if part is not None else ():
                if isinstance(table, nn.Embedding):
                    nn.init.normal_(table.weight, 0.0, 0.01 * scale, generator=generator)
        self.transformer.initialize(scale, generator)
        if self.conditioner is not None:
            self.conditioner.initialize(scale, generator)
        if self.lyric_encoder is not None:
            self.lyric_encoder.initialize(scale, generator)


def _bits(logits: Float[Tensor, "B s V"], targets: Int[Tensor, "B s"]) -> Float[Tensor, "B"]:
    return F.cross_entropy(logits.mT, targets, reduction="none").mean(1) / math.log(2)
