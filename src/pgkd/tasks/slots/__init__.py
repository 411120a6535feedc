"""Span extraction: the parts of a text that have a label, such as a date or a name."""
