"""What the teacher is told: the report, the mined rows, and who needs how many texts."""
