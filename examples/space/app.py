"""A page for a Space of the Hugging Face Hub: words in, music out, with Gradio.

Put this file into a Space with `requirements.txt` (beside it); it runs anywhere else with `python app.py`, too.
"""

from collections.abc import Iterator

import gradio as gr
import numpy as np

import cadenza

music = cadenza.load()


def play(text: str, duration: float, seed: float | None) -> Iterator[tuple[int, np.ndarray]]:
    """Music in pieces, as it is made."""
    try:
        for chunk in music.stream(text, duration, None if seed is None else int(seed)):
            yield chunk.sample_rate, np.round(chunk.samples.T.clip(-1, 1) * 32767).astype(np.int16)
    except cadenza.UserError as error:
        raise gr.Error(str(error)) from error


demo = gr.Interface(
    play,
    [
        gr.Textbox("warm lo-fi beat with Rhodes piano, 82 bpm", label="What do you want to hear?"),
        gr.Slider(2, 60, 12, step=1, label="Seconds"),
        gr.Number(None, precision=0, label="Seed (same seed, same music)"),
    ],
    gr.Audio(streaming=True, autoplay=True, label="Music"),
    title="Cadenza",
    flagging_mode="never",
)

if __name__ == "__main__":
    demo.queue(default_concurrency_limit=1).launch()
