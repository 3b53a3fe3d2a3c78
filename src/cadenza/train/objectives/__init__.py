"""One objective per model family."""
