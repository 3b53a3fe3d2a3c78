"""A sentence to a file, with progress.

python examples/first_song.py
"""

import cadenza

music = cadenza.load()
audio = music.generate(
    "an upbeat march for brass band",
    duration=10,
    seed=3,
    progress=lambda made, total: print(f"\r{made:4.1f} of {total:.1f} s", end=""),
)
path = audio.write("march.flac")
print(f"\n{path}: {audio.loudness_lufs():.1f} LUFS before writing, seed {audio.metadata['seed']}")
