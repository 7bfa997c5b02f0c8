"""What it costs to be protected, and what processes that share a state see of each other."""
