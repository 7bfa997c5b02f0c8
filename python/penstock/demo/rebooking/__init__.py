"""The second half: every cancelled flight rebooked or refused, through the death of processes.

`rules` says what is right, `schedule` keeps the flights, `plan` prepares one case, `inventory`
holds the seats, `desk` pays refunds in a process of its own, `lock` keeps a second demo away,
`outcome` records what became of it all.
"""

__all__ = ()
