"""The composer: scores, captions and rendering, the training data of the embedded model."""
