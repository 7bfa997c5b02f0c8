"""Behaviours that come with the room: what commands and queries go through on their way."""
