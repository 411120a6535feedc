"""Text classification: one label a text."""
