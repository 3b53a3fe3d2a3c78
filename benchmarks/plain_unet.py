"""The diffusion U-Net's arithmetic done plainly: PyTorch's own modules in fp32, one after the other.

What the original computes (arXiv 2308.02560) and nothing beyond: the other side of `benchmarks/diffusion.py`, and an
independent account of the arithmetic for the tests. Names are those of `cadenza.diffusion.unet`, but for the attention,
which is `nn.MultiheadAttention`: load weights with `load`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cadenza.diffusion.unet import DiffusionUnet, DiffusionUnetConfig
from cadenza.nn.positional import sinusoidal_positions


class PlainBlock(nn.Module):
    def __init__(self, dim: int, groups: int, dilation: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, dim)
        self.conv1 = nn.Conv1d(dim, dim, 3, padding=dilation, dilation=dilation)
        self.norm2 = nn.GroupNorm(groups, dim)
        self.conv2 = nn.Conv1d(dim, dim, 3, padding=dilation, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))


class PlainLevel(nn.Module):
    """An encoder level, or, with `up`, a decoder level."""

    def __init__(self, config: DiffusionUnetConfig, outer: int, inner: int, up: bool) -> None:
        super().__init__()
        size, stride, groups = config.kernel_size, config.stride, config.norm_groups
        self.stride, padding = stride, (size - stride) // 2
        if up:
            self.up = nn.ConvTranspose1d(inner, outer, size, stride, padding, bias=False)
        else:
            self.down = nn.Conv1d(outer, inner, size, stride, padding, bias=False)
        self.norm = nn.GroupNorm(groups, inner)
        self.blocks = nn.Sequential(*(PlainBlock(inner, groups, 2**j) for j in range(config.num_residual_blocks)))

    def encode(self, x: Tensor) -> Tensor:
        missing = -x.shape[-1] % self.stride
        return self.blocks(F.relu(self.norm(self.down(F.pad(x, (0, missing))))))

    def decode(self, x: Tensor) -> Tensor:
        return self.up(F.relu(self.norm(self.blocks(x))))


class PlainLSTM(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, dim, 2, bidirectional=True)
        self.linear = nn.Linear(2 * dim, dim)

    def forward(self, x: Tensor, source: Tensor | None) -> Tensor:
        return self.linear(self.lstm(x.permute(2, 0, 1))[0]).permute(1, 2, 0)


class PlainLayer(nn.Module):
    """A transformer layer with the norms after the sums."""

    def __init__(self, dim: int, listens: bool) -> None:
        super().__init__()
        self.self_attention = nn.MultiheadAttention(dim, 8, bias=False, batch_first=True)
        self.norm_self = nn.LayerNorm(dim)
        if listens:
            self.cross_attention = nn.MultiheadAttention(dim, 8, bias=False, batch_first=True)
            self.norm_cross = nn.LayerNorm(dim)
        self.linear1 = nn.Linear(dim, 2048, bias=False)
        self.linear2 = nn.Linear(2048, dim, bias=False)
        self.norm_feed_forward = nn.LayerNorm(dim)

    def forward(self, x: Tensor, source: Tensor | None) -> Tensor:
        x = self.norm_self(x + self.self_attention(x, x, x, need_weights=False)[0])
        if source is not None:
            x = self.norm_cross(x + self.cross_attention(x, source, source, need_weights=False)[0])
        return self.norm_feed_forward(x + self.linear2(F.relu(self.linear1(x))))


class PlainTransformer(nn.Module):
    def __init__(self, dim: int, listens: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(PlainLayer(dim, listens) for _ in range(6))

    def forward(self, x: Tensor, source: Tensor | None) -> Tensor:
        x = x.transpose(1, 2)
        x = x + sinusoidal_positions(x.shape[1], x.shape[2])
        if source is not None:
            source = source.transpose(1, 2)
            source = source + sinusoidal_positions(source.shape[1], source.shape[2])
        for layer in self.layers:
            x = layer(x, source)
        return x.transpose(1, 2)


class PlainUnet(nn.Module):
    def __init__(self, config: DiffusionUnetConfig) -> None:
        super().__init__()
        self.config = config
        pairs = list(zip((config.channels, *config.widths[:-1]), config.widths, strict=True))
        self.encoders = nn.ModuleList(PlainLevel(config, a, b, up=False) for a, b in pairs)
        self.decoders = nn.ModuleList(PlainLevel(config, a, b, up=True) for a, b in reversed(pairs))
        embedded = config.widths if config.embed_all_levels else config.widths[:1]
        self.step_embeddings = nn.ModuleList(nn.Embedding(config.num_steps, width) for width in embedded)
        deepest = config.widths[-1]
        if config.condition_dim is not None:
            self.condition_projection = nn.Conv1d(config.condition_dim, deepest, 1)
        if config.bottleneck == "lstm":
            self.bottleneck: nn.Module = PlainLSTM(deepest)
        elif config.bottleneck == "transformer":
            self.bottleneck = PlainTransformer(deepest, config.cross_attention)

    def forward(self, noisy: Tensor, step: int, condition: Tensor | None) -> Tensor:
        steps = torch.full((len(noisy),), step)
        x, skips, source = noisy, [], None
        for level, encoder in enumerate(self.encoders):
            x = encoder.encode(x)
            if level < len(self.step_embeddings):
                x = x + self.step_embeddings[level](steps).unsqueeze(-1)
            skips.append(x)
        if condition is not None:
            source = self.condition_projection(condition)
            if not self.config.cross_attention:
                x += F.interpolate(source, x.shape[-1])  # in place, as in the original: the last skip changes too
                source = None
        x = torch.zeros_like(x) if self.config.bottleneck == "none" else self.bottleneck(x, source)
        for decoder in self.decoders:
            skip = skips.pop()
            x = decoder.decode(x[..., : skip.shape[-1]] + skip)
        return x[..., : noisy.shape[-1]]

    def load(self, unet: DiffusionUnet) -> "PlainUnet":
        """Use the weights of a network that is not packed, without a copy."""
        renamed = {}
        for name, tensor in unet.state_dict().items():
            name = name.replace("in_projection.weight", "in_proj_weight").replace("out_projection", "out_proj")
            renamed[name.replace("feed_forward.linear", "linear")] = tensor
        self.load_state_dict(renamed, assign=True)
        return self.eval()
