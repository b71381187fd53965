"""The whole broker on a simulated disk, by seed."""
