"""The questions, a module for each strategy."""

ORDER = ("breaker", "retry", "timeout", "hedge", "cache", "bulkhead", "fallback")
"""As the page has them."""
