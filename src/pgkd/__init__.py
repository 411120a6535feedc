"""Performance-guided LLM knowledge distillation for text classification."""
