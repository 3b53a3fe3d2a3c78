"""A subword tokenizer learnt from captions, for text encoders trained here.

In: sentences. Out: a `TextTokenizer` in the layout of T5's: `<pad>` 0, `</s>` 1, `<unk>` 2, unigram pieces, every
sentence ended by `</s>`. Kudo 2018, "Subword Regularization" (the unigram language model). Unlike T5's it folds case
and compatibility forms of characters, since people type prompts carelessly.
"""

import json
from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from cadenza.conditioning.t5 import TextTokenizer

SPECIAL = ("<pad>", "</s>", "<unk>")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'\"()-/&#+%"


def train_tokenizer(sentences: Iterable[str], vocab_size: int) -> TextTokenizer:
    """Learn at most `vocab_size` pieces; single letters, digits and marks are always among them."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace("\n", " "), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        unk_token=SPECIAL[2],
        initial_alphabet=list(LETTERS),
        show_progress=False,
    )
    sentences = list(sentences)
    tokenizer.train_from_iterator(sentences, trainer)
    tokenizer.model = _canonical(tokenizer, {letter for s in sentences for letter in _normalized(tokenizer, s)})
    end = (SPECIAL[1], tokenizer.token_to_id(SPECIAL[1]))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {SPECIAL[1]}", pair=f"$A {SPECIAL[1]} $B {SPECIAL[1]}", special_tokens=[end]
    )
    return TextTokenizer(tokenizer)


def _normalized(tokenizer: Tokenizer, sentence: str) -> str:
    normalizer = tokenizer.normalizer
    assert normalizer is not None
    return normalizer.normalize_str(sentence)


def _canonical(tokenizer: Tokenizer, seen: set[str]) -> models.Unigram:
    """The learnt model in a fixed order. The library's order, and the scores of letters never seen, vary by chance."""
    scores: dict[str, float] = dict(json.loads(tokenizer.to_str())["model"]["vocab"])
    learnt = {piece: round(score, 6) for piece, score in scores.items() if piece not in SPECIAL}
    floor = min(score for piece, score in learnt.items() if len(piece) > 1 or piece in seen)
    pieces = [(piece, score if len(piece) > 1 or piece in seen else floor) for piece, score in learnt.items()]
    pieces.sort(key=lambda item: (-item[1], item[0]))
    return models.Unigram([(special, 0.0) for special in SPECIAL] + pieces, unk_id=2, byte_fallback=False)
