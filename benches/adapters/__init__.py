"""What it costs to come from callbacks, threads and old code, and to run two implementations."""
