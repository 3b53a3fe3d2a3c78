"""Adapters that become part of a model's own weights: in a file for any library, at no cost when it plays.

In: a model in full precision, and adapters with what each counts. Out: a model that says so in its name and licence.
"""

from collections.abc import Sequence

from cadenza.lm.adapter import Adapter, Source, check_fit, merge, notice_other_base, read_adapter, title
from cadenza.pipelines.musicgen import MusicGen


def merged(model: MusicGen, adapters: Sequence[tuple[Source, float]]) -> MusicGen:
    """The model with the adapters in its weights, which are changed in place; `pack()` it to play it.

    Raises UserError for quantised weights and for an adapter of another shape, before anything is changed.
    """
    read = [(title(one), one if isinstance(one, Adapter) else read_adapter(one), gain) for one, gain in adapters]
    for called, adapter, _ in read:
        check_fit(model.lm, adapter, called)
        notice_other_base(adapter, called, lambda: model.weights)
    name, licence = model.config.name, model.config.licence
    for called, adapter, gain in read:
        merge(model.lm, adapter, gain, called)
        name += f" + {gain:g} {called}"
        if adapter.record.licence not in licence:
            licence += f"; {called}: {adapter.record.licence}"
    return MusicGen(
        model.codec, model.lm, model.conditioning, model.config.model_copy(update={"name": name, "licence": licence})
    )
