"""Jukebox: audio to three levels of codes and back, and the priors that write them (arXiv 2005.00341)."""
