"""Cadenza: text to music."""
