"""Hand-off between processes."""
