"""The engine: runs each plan node against the backends and gives the answer to the client."""
