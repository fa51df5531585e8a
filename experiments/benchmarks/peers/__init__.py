"""Other software for the same work, each with its best settings."""
