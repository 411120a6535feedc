"""The classifiers that a user owns in the end."""
