"""Audio to codes and back: EnCodec and its stereo wrapper."""
