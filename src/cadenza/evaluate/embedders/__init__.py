"""Networks that hear: audio to vectors, to probabilities of labels, or into one space with text."""
