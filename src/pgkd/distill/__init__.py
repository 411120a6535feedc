"""The loop: Algorithm 1, its stop rule, its hooks and its run folder."""
