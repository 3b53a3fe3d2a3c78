"""A soundfont small enough to travel: only what the corpus plays, its samples as Vorbis.

    python recipes/soundfont.py .gpu/soundfont.sf3              # from the FluidR3 GM that is installed (MIT)

In: a General MIDI soundfont (.sf2, 16 bit). Out: the same presets, zones and loops (.sf3, which FluidSynth reads); a
sample that no preset of the corpus reaches is left empty. The layout is that of the SoundFont 2.04 specification; in an
sf3 the sample header's type has bit 4 set, its start and end count bytes of a Vorbis stream, and its loop counts from
the sample's own beginning. Vorbis streams carry a number that the clock draws: two files differ in bytes, not in sound.
"""

import argparse
import io
import struct
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile

from cadenza.corpus.instruments import INSTRUMENTS, patches_of
from cadenza.corpus.render import find_soundfont
from cadenza.errors import CadenzaError, UserError

DRUM_BANK = 128
SEASHORE = 122
"""Played under some pieces (`corpus.render`), though no instrument is called so."""
_INSTRUMENT, _SAMPLE = 41, 53
_VORBIS = 16
_ROM = 0x8000
_PRESET, _ZONE, _GENERATOR = struct.Struct("<20sHHHIII"), struct.Struct("<HH"), struct.Struct("<HH")
_NAMED_ZONE, _HEADER = struct.Struct("<20sH"), struct.Struct("<20sIIIIIBbHH")
Chunk = tuple[bytes, bytes]


def played() -> set[tuple[int, int]]:
    """Bank and program of everything that the corpus asks of a soundfont."""
    sounds = {patch.sound for name in INSTRUMENTS for patch in patches_of(name)}
    melodic = {(0, sound) for sound in sounds if isinstance(sound, int)} | {(0, SEASHORE)}
    kits = {sound.split()[1] for sound in sounds if isinstance(sound, str) and sound.startswith("kit ")}
    return melodic | {(DRUM_BANK, int(kit)) for kit in kits}


def shrink(source: Path, target: Path, quality: float, presets: set[tuple[int, int]] | None = None) -> None:
    """Write the small soundfont; `quality` is libsndfile's compression level, 0 (large) to 1 (small).

    Raises UserError for a file that is no soundfont of 16 bits, or lacks presets that are wanted.
    """
    lists = _lists(source)
    parts = dict(lists[b"pdta"])
    pcm = np.frombuffer(dict(lists[b"sdta"])[b"smpl"], "<i2")
    reached = _reached(parts, played() if presets is None else presets, source)
    headers, streams, place = [], [], 0
    for number, header in enumerate(_HEADER.iter_unpack(parts[b"shdr"])):
        name, start, end, loop, loop_end, rate, key, cents, link, kind = header
        if number not in reached or kind & _ROM:
            headers.append(_HEADER.pack(name, 0, 0, 0, 0, rate, key, cents, link, kind))
            continue
        buffer = io.BytesIO()
        soundfile.write(buffer, pcm[start:end], rate, "VORBIS", format="OGG", compression_level=quality)
        stream = buffer.getvalue()
        loops = loop - start, loop_end - start
        headers.append(_HEADER.pack(name, place, place + len(stream), *loops, rate, key, cents, link, kind | _VORBIS))
        streams.append(stream)
        place += len(stream)
    parts[b"shdr"] = b"".join(headers)
    info = [(name, struct.pack("<HH", 3, 0) if name == b"ifil" else body) for name, body in lists[b"INFO"]]
    body = b"sfbk" + b"".join(
        _list(name, chunks)
        for name, chunks in (
            (b"INFO", info),
            (b"sdta", [(b"smpl", b"".join(streams))]),
            (b"pdta", [(name, parts[name]) for name, _ in lists[b"pdta"]]),
        )
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(_chunk((b"RIFF", body)))


def _reached(parts: dict[bytes, bytes], wanted: set[tuple[int, int]], source: Path) -> set[int]:
    """Numbers of the samples that presets lead to."""
    found = list(_PRESET.iter_unpack(parts[b"phdr"]))
    missing = wanted - {(bank, program) for _, program, bank, *_ in found[:-1]}
    if missing:
        raise UserError(f"{source} lacks {len(missing)} presets that the corpus plays: give a General MIDI soundfont")
    zones = [range(first[3], after[3]) for first, after in pairwise(found) if (first[2], first[1]) in wanted]
    instruments = set(_led_to(parts[b"pbag"], parts[b"pgen"], zones, _INSTRUMENT))
    heads = list(_NAMED_ZONE.iter_unpack(parts[b"inst"]))
    zones = [range(heads[number][1], heads[number + 1][1]) for number in instruments]
    return set(_led_to(parts[b"ibag"], parts[b"igen"], zones, _SAMPLE))


def _led_to(bags: bytes, generators: bytes, zones: Iterable[range], operator: int) -> Iterator[int]:
    """Amounts of a generator in zones."""
    begins = [first for first, _ in _ZONE.iter_unpack(bags)]
    amounts = list(_GENERATOR.iter_unpack(generators))
    for zone in (number for some in zones for number in some):
        for found, amount in amounts[begins[zone] : begins[zone + 1]]:
            if found == operator:
                yield amount


def _lists(source: Path) -> dict[bytes, list[Chunk]]:
    """The three lists of a soundfont, by their kind."""
    data = source.read_bytes()
    if data[:4] != b"RIFF" or data[8:12] != b"sfbk":
        raise UserError(f"{source} is no soundfont: give a .sf2 file")
    lists = {body[:4]: list(_chunks(body[4:])) for name, body in _chunks(data[12:]) if name == b"LIST"}
    if b"smpl" not in dict(lists.get(b"sdta", [])) or b"sm24" in dict(lists[b"sdta"]):
        raise UserError(f"{source} does not hold samples of 16 bits: give another .sf2 file")
    return lists


def _chunks(data: bytes) -> Iterator[Chunk]:
    place = 0
    while place + 8 <= len(data):
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        yield name, data[place + 8 : place + 8 + size]
        place += 8 + size + size % 2


def _chunk(chunk: Chunk) -> bytes:
    name, body = chunk
    return name + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)


def _list(kind: bytes, chunks: Iterable[Chunk]) -> bytes:
    return _chunk((b"LIST", kind + b"".join(map(_chunk, chunks))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path, help="the .sf3 to write")
    parser.add_argument("--source", type=Path, help="the .sf2 [default: the first in the usual places]")
    parser.add_argument("--quality", type=float, default=0.6, help="0 large, 1 small")
    options = parser.parse_args()
    try:
        shrink(find_soundfont(options.source), options.target, options.quality)
    except CadenzaError as error:
        sys.exit(f"error: {error}")
    print(f"{options.target}: {options.target.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
