"""Adapters that become part of a model's own weights: in a file for any library, at no cost when it plays.

In: a model in full precision, and adapters with what each counts. Out: a model that says so in its name and licence.
"""

from collections.abc import Sequence

from cadenza.lm.adapter import Adapter, Source, merge, notice_other_base, read_adapter, title
from cadenza.pipelines.musicgen import MusicGen


def merged(model: MusicGen, adapters: Sequence[tuple[Source, float]]) -> MusicGen:
    """The model with the adapters in its weights, which are changed in place.

    Raises UserError for quantised weights and for an adapter of another shape.
    """
    weights = model.weights
    name, licence = model.config.name, model.config.licence
    for source, gain in adapters:
        called, adapter = title(source), source if isinstance(source, Adapter) else read_adapter(source)
        notice_other_base(adapter, called, lambda: weights)
        merge(model.lm, adapter, gain, called)
        name += f" + {gain:g} {called}"
        if adapter.record.licence not in licence:
            licence += f"; {called}: {adapter.record.licence}"
    return MusicGen(
        model.codec, model.lm, model.conditioning, model.config.model_copy(update={"name": name, "licence": licence})
    )
