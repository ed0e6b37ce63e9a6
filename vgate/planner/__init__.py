"""The planner: a parsed statement and the VSchema become an immutable plan. Pure; no I/O, no shard names."""
