"""What a condition must be to have a meaning, and what is said of one that has none."""
