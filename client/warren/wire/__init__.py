"""The codec of AMQP 0-9-1: bytes to values and back, no input or output, no state.

Standard library and `warren.errors` only. Import from the modules: one noun each.
"""
