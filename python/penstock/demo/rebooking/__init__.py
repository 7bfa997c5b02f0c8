"""The second half: every cancelled flight rebooked or refused, through the death of processes."""
