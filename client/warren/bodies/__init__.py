"""Typed bodies: Python values as the bodies of messages, and back.

`codecs.Codecs` chooses by type when a value is published and by content type when a
message has come; `structure` makes attrs classes of plain maps. No input, no output:
a broker's user of any framework can have them.
"""
