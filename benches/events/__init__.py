"""Events to handlers inside one process."""
