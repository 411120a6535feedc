"""What is kept of what the teacher wrote; every drop has a reason."""
