"""The whole broker on a disk that is too small."""
