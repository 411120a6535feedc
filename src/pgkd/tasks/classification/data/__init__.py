"""Labelled texts and their label names: read, checked and split."""
