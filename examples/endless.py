"""Music that is heard while it is made: a stream in pieces, with a change of mood on the way.

python examples/endless.py
"""

import time

import cadenza

music = cadenza.load()
began = time.perf_counter()
chunks = []
for chunk in music.stream([(0, "calm piano"), (6, "drums enter")], duration=12, seed=1):
    chunks.append(chunk)  # a player would sound it now
    made = sum(part.duration_seconds for part in chunks)
    print(f"{made:5.1f} s of music after {time.perf_counter() - began:.1f} s")
cadenza.Audio.concatenate(chunks).write("endless.wav")
