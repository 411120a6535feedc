"""The LLMs to learn from, behind one method."""
