"""Pairs of texts with a label or a score."""
