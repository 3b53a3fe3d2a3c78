"""Manifests and datasets of audio, captions and codes."""
