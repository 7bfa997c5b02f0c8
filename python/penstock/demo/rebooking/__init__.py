"""The second half of the demo: every passenger of a cancelled flight is looked for another seat.

`rules` says what is right, `schedule` keeps the flights, `plan` prepares one case, `inventory`
holds the seats, `desk` pays refunds in a process of its own, `lock` keeps a second demo away.
"""

__all__ = ()
