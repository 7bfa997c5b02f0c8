"""Commands and queries beside other mediators."""
