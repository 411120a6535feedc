"""How good a student is: metrics with their uncertainty."""
