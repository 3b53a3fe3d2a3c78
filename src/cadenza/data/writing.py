"""Writing a token cache: codes, melodies and texts of every recording, computed once.

In: a codec, manifest entries, and what else to compute. Out: a folder of shards (`data.shards`), `index.json` (codec,
settings, checksums, and per recording what the manifest says) and `skipped.jsonl` (what has no codes, and why). Ended
at any moment, the same call goes on from the shards that are whole.
"""

import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cadenza.checkpoint import read_json, write_json
from cadenza.codec.base import Codec
from cadenza.codec.encodec import EnCodec
from cadenza.codec.stereo import StereoCodec
from cadenza.conditioning.chroma import ChromaConfig
from cadenza.data.coding import LAYER as CODES
from cadenza.data.coding import TokenConfig, read_sound
from cadenza.data.manifest import Entry
from cadenza.data.melodies import INDEX as MELODY_INDEX
from cadenza.data.melodies import LAYER as MELODY
from cadenza.data.melodies import WHOLE, melody_settings
from cadenza.data.shards import Part, cut, shard_path
from cadenza.data.texts import LAYER as TEXT
from cadenza.data.texts import Texts
from cadenza.data.tokens import FORMAT, INDEX, encoder_hash
from cadenza.data.workers import Made, OnDone, PartMaker, Plan, found, make_here, make_in_pool
from cadenza.errors import UserError
from cadenza.files import atomic_file
from cadenza.jukebox.level import VQVAELevel

_logger = logging.getLogger(__name__)
SKIPPED = "skipped.jsonl"
_MODELS = ".models"
"""Where workers find the codec and the text encoder while a cache is written."""


class Written(NamedTuple):
    """What a finished cache holds."""

    recordings: int
    skipped: dict[str, str]
    """Recordings without codes -> why."""


def write_tokens(
    codec: Codec,
    entries: Sequence[Entry],
    folder: str | Path,
    config: TokenConfig | None = None,
    *,
    melody: ChromaConfig | None = None,
    texts: Texts | None = None,
    workers: int = 1,
    cluster: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Compute what is not there yet; the same bytes from any number of workers, however often interrupted.

    `cluster` is the address of a Ray cluster ("local": one is begun here), whose machines share `folder`. Recordings
    that cannot be read, are silent or too short have no codes and are listed. Raises UserError where no recording is
    left, ids are not unique, or the folder holds codes of another codec or other settings; CadenzaError where the disk
    refuses (the cache goes on later).
    """
    folder, config = Path(folder), config or TokenConfig()
    _check(entries)
    settings = _settings(codec, config, melody, texts)
    identity = {"format": FORMAT, "codec": settings[CODES]["codec"], "shard_items": config.shard_items}
    identity["coding"] = settings[CODES]["coding"]
    folder.mkdir(parents=True, exist_ok=True)
    parts = cut(entries, config.shard_items)
    before = _checked_index(folder, identity)
    _forget_what_came_back(folder, settings, codec, config, parts)
    kept = _kept_layers(folder, before, settings, parts)
    settings |= {name: before["layers"][name]["settings"] for name in kept}
    _clean(folder)
    # With the layers: those not asked for must be known to the call that goes on, too.
    layers = {name: {"settings": values} for name, values in settings.items()}
    write_json(folder / INDEX, identity | {"complete": False, "layers": layers, "items": []})

    made: dict[int, Made] = {}
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done = min(done + more, len(entries))
        if on_progress is not None:
            on_progress(done, len(entries))

    for part in parts:
        if (there := found(folder, settings, part)) is not None:
            made[part.number] = there
            done += len(part.entries)
    count(0)
    missing = [part for part in parts if part.number not in made]
    if missing:
        plan = _plan(folder, config, settings, codec, melody, texts)
        for result in _compute(plan, codec, texts, missing, workers, cluster, count):
            same = {name: checksums[result.number] for name, checksums in kept.items()}
            made[result.number] = result._replace(checksums=result.checksums | same)
    shutil.rmtree(folder / _MODELS, ignore_errors=True)
    return _finish(folder, identity, settings, parts, made, melody)


def _check(entries: Sequence[Entry]) -> None:
    """Mistakes that concern the whole manifest."""
    ids = Counter(entry.id for entry in entries)
    name, count = ids.most_common(1)[0]
    if count > 1:
        raise UserError(f"{count} manifest entries have the id {name!r}: give each its own")
    if not any(Path(entry.path).is_file() for entry in entries):
        first = entries[0].path
        raise UserError(f"none of the {len(entries)} recordings is there (the first is {first}): scan the folder again")


def _settings(
    codec: Codec, config: TokenConfig, melody: ChromaConfig | None, texts: Texts | None
) -> dict[str, dict[str, Any]]:
    """Per layer, what decides its tensors beside the entries."""
    codes = {
        "codec": {
            "hash": encoder_hash(codec),
            "sample_rate": codec.sample_rate,
            "frame_rate": codec.frame_rate,
            "num_codebooks": codec.num_codebooks,
            "codebook_size": codec.codebook_size,
        },
        "coding": config.model_dump(mode="json", exclude={"shard_items"}),
    }
    settings: dict[str, dict[str, Any]] = {CODES: codes}
    if melody is not None:
        settings[MELODY] = {"analysis": melody_settings(melody), "first_seconds": config.first_seconds}
    if texts is not None:
        settings[TEXT] = texts.settings
    return settings


def _checked_index(folder: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """The index that is there, {} if none. What it does not say (an older one) is believed to be the same."""
    if not (folder / INDEX).exists():
        return {}
    before = read_json(folder / INDEX)
    for key, words in (("format", "a cache of another format"), ("codec", "the codes of another codec")):
        if before.get(key) != identity[key]:
            raise UserError(f"{folder} holds {words}: choose another folder or delete it")
    for key in ("shard_items", "coding"):
        if before.get(key, identity[key]) != identity[key]:
            raise UserError(
                f"{folder} was begun with {key} {json.dumps(before[key])}, now {json.dumps(identity[key])}: give the "
                "same options, or choose another folder"
            )
    return before


def _forget_what_came_back(
    folder: Path, settings: dict[str, dict[str, Any]], codec: Codec, config: TokenConfig, parts: Sequence[Part]
) -> None:
    """Take away shards that lack a recording which can be read by now: a disk was away, a file was repaired."""
    for part in parts:
        there = found(folder, {CODES: settings[CODES]}, part)
        left_out = [] if there is None else [entry for entry in part.entries if entry.id in there.skipped]
        sounds = (read_sound(entry, codec.sample_rate, codec.channels, config) for entry in left_out)
        if any(not isinstance(sound, str) for sound in sounds):
            shard_path(folder, CODES, part.number).unlink()
            shard_path(folder, MELODY, part.number).unlink(missing_ok=True)


def _kept_layers(
    folder: Path, before: dict[str, Any], settings: dict[str, dict[str, Any]], parts: Sequence[Part]
) -> dict[str, dict[int, str]]:
    """Layers that are there, not asked for this time, and still fit every entry: checksums by part."""
    kept: dict[str, dict[int, str]] = {}
    for name, layer in before.get("layers", {}).items():
        if name in settings:
            continue
        there = [found(folder, {name: layer["settings"]}, part) for part in parts]
        checksums = {made.number: made.checksums[name] for made in there if made is not None}
        if len(checksums) == len(parts):
            kept[name] = checksums
        else:
            _logger.warning(
                "%s: its %s layer does not fit this manifest, or is damaged: taken out, as it was not asked for",
                folder,
                name,
            )
    return kept


def _clean(folder: Path) -> None:
    """What a killed run left of the files that it was writing."""
    for rest in (*folder.glob(".*.safetensors.*"), *folder.glob(".*.json.*"), *folder.glob(".*.jsonl.*")):
        rest.unlink(missing_ok=True)
    shutil.rmtree(folder / _MODELS, ignore_errors=True)


def _plan(
    folder: Path,
    config: TokenConfig,
    settings: dict[str, dict[str, Any]],
    codec: Codec,
    melody: ChromaConfig | None,
    texts: Texts | None,
) -> Plan:
    folder = folder.absolute()
    return Plan(
        folder=str(folder),
        config=config,
        settings=settings,
        codec=str(folder / _MODELS / "codec"),
        level=codec.level if isinstance(codec, VQVAELevel) else None,
        stereo=isinstance(codec, StereoCodec),
        device=str(next(codec.parameters()).device),
        text_encoder=None if texts is None else str(folder / _MODELS / "text_encoder"),
        text=None if texts is None else texts.form,
        melody=melody,
    )


def _compute(
    plan: Plan,
    codec: Codec,
    texts: Texts | None,
    parts: Sequence[Part],
    workers: int,
    cluster: str | None,
    on_done: OnDone,
) -> Iterator[Made]:
    if cluster is None and (workers == 1 or len(parts) == 1):
        return make_here(PartMaker(plan, codec, texts), parts, on_done)
    if isinstance(codec, VQVAELevel):
        codec.vqvae.save_pretrained(plan.codec)
    else:
        mono = codec.mono if isinstance(codec, StereoCodec) else codec
        assert isinstance(mono, EnCodec), "only EnCodec and Jukebox' VQ-VAE can be written for workers"
        mono.save_pretrained(plan.codec)
    if texts is not None and plan.text_encoder is not None:
        texts.encoder.save_pretrained(plan.text_encoder)
    if cluster is None:
        return make_in_pool(plan, parts, workers, on_done)
    from cadenza.data.cluster import make_on_cluster

    return make_on_cluster(plan, parts, workers, cluster, on_done)


def _finish(
    folder: Path,
    identity: dict[str, Any],
    settings: dict[str, dict[str, Any]],
    parts: Sequence[Part],
    made: dict[int, Made],
    melody: ChromaConfig | None,
) -> Written:
    """Index and list, from all parts, whoever made them and when."""
    skipped: dict[str, str] = {}
    items = []
    with atomic_file(folder / SKIPPED) as temporary, temporary.open("w", encoding="utf-8") as lines:
        for part in parts:
            skipped |= made[part.number].skipped
            for entry in part.entries:
                if entry.id not in made[part.number].skipped:
                    row = entry.model_dump(mode="json", exclude={"path"}, exclude_none=True)
                    items.append(row | {"shard": part.number})
                    continue
                line = {"id": entry.id, "path": entry.path, "reason": skipped[entry.id]}
                lines.write(json.dumps(line, ensure_ascii=False) + "\n")
    if not items:
        name, reason = next(iter(skipped.items()))
        raise UserError(f"no recording of {len(skipped)} could be used ({name}: {reason}): see {folder / SKIPPED}")
    for layer in (CODES, MELODY, TEXT):
        number = len(parts) if layer in settings else 0
        while (beyond := shard_path(folder, layer, number)).exists():  # of a longer manifest, or no longer valid
            beyond.unlink()
            number += 1
    if melody is not None:
        write_json(folder / MELODY_INDEX, melody_settings(melody))
        (folder / WHOLE).unlink(missing_ok=True)
    elif MELODY not in settings and not (folder / WHOLE).exists():
        (folder / MELODY_INDEX).unlink(missing_ok=True)
    layers = {
        name: {"settings": values, "checksums": [made[part.number].checksums[name] for part in parts]}
        for name, values in settings.items()
    }
    write_json(folder / INDEX, identity | {"complete": True, "layers": layers, "items": items})
    return Written(len(items), skipped)
