"""Codes and conditions to logits: patterns, transformer, guidance, generation."""
