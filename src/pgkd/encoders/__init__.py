"""Encoders, which turn texts into vectors: loading, caching, devices and training.

Nothing here knows what is learned on top of the vectors.
"""
