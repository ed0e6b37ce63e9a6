"""The VSchema: which keyspaces, shards, tables and vindexes there are."""
