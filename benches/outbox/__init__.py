"""Outboxes: every contender reads rows that were committed with an fsync, and marks them so."""
