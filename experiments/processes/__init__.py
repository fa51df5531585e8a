"""Several processes that make one run: how they meet, and how they end."""
