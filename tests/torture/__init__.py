"""A real broker on a real disk, ended in every way, under load."""
