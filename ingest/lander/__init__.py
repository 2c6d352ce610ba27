"""The lander: a long-lived process that moves messages from Kafka to Postgres exactly once.

Rows, live state, rejects and offsets are written in one transaction; `lander.Lander` is the loop,
`landing.Landing` that transaction, `ledger` the fence.
"""
