"""Durable work queues: every contender commits each message to the disk before it says so."""
