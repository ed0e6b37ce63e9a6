"""Backend servers: connections, pools, and what the servers say of themselves and their tables."""
