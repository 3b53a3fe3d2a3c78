"""Statistics of listening tests: what people said in, figures with their uncertainty out. Knows no page and no file."""
