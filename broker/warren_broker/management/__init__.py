"""The front end for operators."""
