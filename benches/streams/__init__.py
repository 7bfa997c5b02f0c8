"""Records through pipelines of three stages."""
