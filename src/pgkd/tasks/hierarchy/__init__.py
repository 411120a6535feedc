"""Hierarchical classification: a label is a leaf, or an inner node, of a tree."""
