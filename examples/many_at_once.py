"""Many listeners, one model: requests share its steps, each hears what it would hear alone."""

import threading

import cadenza

music = cadenza.load()
wishes = ["a slow waltz", "fast techno", "calm piano", "jazz trio with walking bass", "rain and harp"]


def listen(wish: str, seed: int) -> None:
    rendering = scheduler.submit(wish, duration=4, seed=seed)
    first = next(rendering)
    rest = rendering.result()
    print(f"{wish}: first {first.duration_seconds:.2f} s, then {rest.duration_seconds:.2f} s")


with music.scheduler(max_requests=3) as scheduler:  # three at once; whoever comes later waits for a place
    listeners = [threading.Thread(target=listen, args=(wish, seed)) for seed, wish in enumerate(wishes)]
    for listener in listeners:
        listener.start()
    for listener in listeners:
        listener.join()
