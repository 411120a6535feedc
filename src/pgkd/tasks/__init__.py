"""The kinds of task that can be distilled, a folder each."""
