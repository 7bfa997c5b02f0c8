"""What it costs to count and to time."""
