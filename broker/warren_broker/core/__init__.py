"""The broker's synchronous core: no wire format, no clock, no input or output."""
