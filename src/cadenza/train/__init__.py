"""The trainer and the objectives of every model family."""
