"""How a diffusion decoder decodes: one object for Python, command line and the record in a file."""

from pydantic import Field

from cadenza.checkpoint import Options
from cadenza.diffusion.sampler import Solver


class DiffusionSettings(Options):
    """How to decode. Twenty ancestral calls are what the original makes."""

    calls: int = Field(20, ge=1, le=100_000, description="network calls per band (arXiv 2308.02560)")
    solver: Solver = Field("ancestral", description="ancestral as the original; ddim or dpm: good with fewer calls")
    match: bool = Field(True, description="bands as strong as in the codec's own decode")
    window_seconds: float = Field(
        10.0, gt=0, allow_inf_nan=False, description="decoded at once, seconds; longer clips in windows of this length"
    )
    context_seconds: float = Field(
        1.0, ge=0, allow_inf_nan=False, description="around a window, decoded to be faded out, seconds"
    )
