"""Vindexes: column values to keyspace ids, byte for byte as Vitess computes them."""
