"""A real broker on a real disk, ended in every way but a power cut, under load."""
