"""Tells people about alerts: at least once, with a key by which a repeat can be recognised.

`routing` and `backoff` decide, `messages` writes, `channels` and `webpush` send, `outbox` holds the SQL, `delivery`
brings one row to its end, `worker` is the loop, `watch` is the dead-man's check.
"""
