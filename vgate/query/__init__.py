"""The pipeline from a command to its answer: plan cache, fast path, and the statements a session answers itself."""
