"""The ways in: each turns what a device sends into canonical events and produces them to Kafka.

`gateway` is what they share, `payloads` the forms of the old systems; `http`, `websocket` and `replay` are the
ways in. A sender is told "accepted" only after Kafka has acknowledged.
"""
