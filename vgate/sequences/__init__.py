"""Allocators of ids, one module per kind of sequence and one for what each keeps on a server."""
