"""Hand-off between threads and event loops."""
