"""An airline's operations desk works through a year of departures: the rooms at work on real data.

`python -m penstock demo` streams the zipped file, parses it, has worker processes analyse it in
batches of numpy arrays, and shows what it found. The modules are meant to be read: `pipeline` is
where the rooms meet, the others hold one subject each and know nothing of it.
"""

__all__ = ()
