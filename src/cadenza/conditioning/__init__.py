"""Words (and more) to the embeddings that a language model listens to."""
