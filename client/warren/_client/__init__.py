"""A small trio shell over `warren.protocol`, for Warren's own commands.

Not public: the client library will stand on the same protocol with an API of its own.
"""
