"""Text to text: a small causal language model learns to write JSON, SQL or any other short text."""
