"""Other software for the same work, each at its best settings."""
