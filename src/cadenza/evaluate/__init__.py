"""Scores for anyone's audio: does the music do what the words say? Nothing here knows a generator."""
