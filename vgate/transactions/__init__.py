"""Transactions over shards: which connections a session holds, and how they begin, commit and roll back together."""
