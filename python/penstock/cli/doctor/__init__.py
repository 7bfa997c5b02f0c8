"""`penstock doctor`: what penstock needs of this machine, what it found, what mends it.

Each check gives the value seen and, unless all is well, the command that changes it. Looking
changes nothing: no server is called and nothing is left behind.
"""

from __future__ import annotations
