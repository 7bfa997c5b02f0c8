"""What penstock costs beside its peers: one file per question, every figure with its run.

Not part of the wheel. `python -m benches list | run | render`; the rules it keeps are in
`docs/performance.md`.
"""
