"""Diffusion decoders: codes to audio by denoising, one frequency band at a time."""
