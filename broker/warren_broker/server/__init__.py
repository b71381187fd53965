"""The trio shell: sockets, time and signals around the synchronous broker.

Nothing here decides anything. Bytes go from a transport to a connection and from its
outbox back (`peer`), time goes to the broker when it has asked for it (`timer`), and
after every turn the `relay` wakes whoever has something to send.
"""
