"""`python -m cadenza.data CODEC_DIR DATA_DIR OUT_DIR`: compute the token cache of a data set, all splits."""

import argparse
import sys
from pathlib import Path

from cadenza.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Run and return the exit code: 0 done, 2 the user's mistake."""
    parser = argparse.ArgumentParser(prog="python -m cadenza.data", description=__doc__)
    parser.add_argument("codec", type=Path, help="folder of the codec (config.json, model.safetensors)")
    parser.add_argument("data", type=Path, help="folder with a manifest")
    parser.add_argument("out", type=Path, help="folder of the token cache")
    parser.add_argument("--batch-size", type=int, default=8, help="recordings encoded together")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--stereo", action="store_true", help="left and right apart, by a mono codec")
    parser.add_argument("--melody", action="store_true", help="also keep the strongest pitch class of every frame")
    parser.add_argument("--quiet-db", type=float, help="frames this far below the loudest have no pitch")
    parser.add_argument("--own-tuning", action="store_true", help="pitch classes of each recording's own tuning")
    options = parser.parse_args(arguments)
    import torch

    from cadenza.codec.encodec import EnCodec
    from cadenza.codec.stereo import StereoCodec
    from cadenza.conditioning.chroma import ChromaConfig
    from cadenza.data.manifest import read_manifest
    from cadenza.data.melodies import write_melodies
    from cadenza.data.tokens import write_tokens

    def report(done: int, total: int) -> None:
        print(f"{done}/{total} recordings", file=sys.stderr, flush=True)

    try:
        codec = EnCodec.from_pretrained(options.codec, options.device, torch.float32)  # whatever it is stored in
        if options.stereo and codec.channels != 1:
            raise UserError(f"{options.codec} has {codec.channels} channels itself: leave out --stereo")
        entries = read_manifest(options.data)
        write_tokens(
            StereoCodec(codec) if options.stereo else codec, entries, options.out, options.batch_size, 64, report
        )
        if options.melody:
            tuning = "recording" if options.own_tuning else "a440"
            melody = ChromaConfig(quiet_db=options.quiet_db, tuning=tuning, stems="none")
            write_melodies(melody, entries, options.out, report)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
