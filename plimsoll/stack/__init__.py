"""The local stack: a real PostgreSQL, a real Apache Kafka, and the processes that run on them."""
