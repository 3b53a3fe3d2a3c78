"""The assembled products."""
