"""`medallion doctor`: what is wrong with this installation, and what to do. It judges and changes nothing.

Judgements are pure functions by subject: `installation`, `machine`, `files`, `stores`. `examine` gathers the facts.
"""
