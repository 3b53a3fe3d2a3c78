"""Features, remembered by what they were made of: the same sentence or recording is never encoded twice.

In: raw values of a model's conditions. Out: their features, from memory if they were made before. What is remembered is
the frozen, expensive part of a conditioner (`prepare`); projections are always computed.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping

from torch import Tensor

from cadenza.audio import Audio
from cadenza.conditioning.base import Features
from cadenza.conditioning.provider import ConditionProvider, Prepared

_KEPT_BYTES = 64 << 20


def content_key(value: object) -> Hashable | None:
    """Equal for values of equal content; None for what is not worth remembering (features computed elsewhere)."""
    if isinstance(value, Audio):
        content = hashlib.sha256(value.samples.tobytes()).hexdigest()
        return ("audio", value.sample_rate, value.channels, content)
    if isinstance(value, tuple):
        parts = [content_key(part) for part in value]
        return None if None in parts else (type(value).__name__, *parts)
    if value is None:
        return "none"
    if isinstance(value, str | int | float):
        return (type(value).__name__, value)
    return None


class FeatureCache:
    """The features used last, up to 64 MB; safe to use from several threads."""

    def __init__(self, max_bytes: int = _KEPT_BYTES) -> None:
        self.max_bytes = max_bytes
        self._kept: OrderedDict[Hashable, Features | None] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Forget everything: after the frozen encoders changed, or to measure what they cost."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def prepare(self, provider: ConditionProvider, item: Mapping[str, object]) -> Prepared:
        """As `provider.prepare([item])`; UserError for unknown names and unreadable values."""
        for name in item:
            provider.conditioner(name)
        return {name: [self._features(provider, name, item.get(name))] for name in provider.config.conditioners}

    def _features(self, provider: ConditionProvider, name: str, value: object) -> Features | None:
        if value is None:
            return None
        content = content_key(value)
        key = (name, content)
        if content is not None:
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key]
        features = provider.conditioner(name).prepare([value])[0]
        if content is not None:
            self._keep(key, features)
        return features

    def _keep(self, key: Hashable, features: Features | None) -> None:
        with self._lock:
            self._bytes += _size(features) - _size(self._kept.get(key))
            self._kept[key] = features
            while self._bytes > self.max_bytes and len(self._kept) > 1:
                self._bytes -= _size(self._kept.popitem(last=False)[1])


def _size(features: Features | None) -> int:
    return features.nbytes if isinstance(features, Tensor) else 0
