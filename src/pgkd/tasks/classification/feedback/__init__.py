"""What the student shows: mistakes, label issues, weights, and who needs how many texts."""
