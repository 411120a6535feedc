"""The requests of a round, and how their replies are read."""
