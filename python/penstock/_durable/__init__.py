"""What every durable room stands on: group commit, leases, codecs, pages, engines by URL.

Rooms describe what is to be written as values (`Write`); an engine decides how. Nothing here knows
a database.
"""
