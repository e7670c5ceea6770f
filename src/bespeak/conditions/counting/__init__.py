"""What is counted of events: which feed what, what is kept of them, and what it is at an instant."""
