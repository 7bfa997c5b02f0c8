"""What a resilience package does when a call is cancelled, and while its circuit is half-open.

Each probe is one question with one right answer, asked of penstock and of others through a thin
adapter each, in a process of its own that is ended when it hangs:

    python -m benches.conformance                    # all; writes benches/CONFORMANCE.md
    python -m benches.conformance hyx nopanic        # some, printed and not stored
    python -m benches.conformance.apart hyx half-open-is-guarded   # one, in this process
"""
