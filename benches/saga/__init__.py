"""Durable sagas: every step is committed to the disk before the next one begins."""
