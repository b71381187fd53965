"""Event sourcing: what has happened is kept, and what is true now follows from it.

An account is nothing but the events in its stream. Who wants to add one says which
offset it must get: the number of events by which it was decided. If somebody was faster
the broker refuses it, and the decision is made again, by what is true now.

    python examples/event_sourcing.py [URL]

`x-expected-offset` is Warren's own.
"""

from __future__ import annotations

import sys
from itertools import islice

import attrs

from warren import Nacked, blocking

URL = "amqp://guest:guest@127.0.0.1:5672/"
STREAM = "example.account"


@attrs.frozen
class Account:
    """The account after so many events."""

    balance: int = 0
    events: int = 0

    def after(self, event: dict[str, int]) -> Account:
        """Return the account as it is after one more event."""
        change = event.get("deposited", 0) - event.get("withdrawn", 0)
        return Account(self.balance + change, self.events + 1)


def rebuild(connection: blocking.Connection) -> Account:
    """Read all that has ever happened."""
    account = Account()
    count = connection.declare_queue(STREAM, passive=True).message_count
    with connection.consume(STREAM, offset="first") as events:
        for event in islice(events, count):
            with event:
                account = account.after(event.value)
    return account


def append(
    connection: blocking.Connection, account: Account, event: dict[str, int]
) -> Account:
    """Add an event, unless there is another one after those that `account` knows."""
    headers = {"x-expected-offset": account.events}
    connection.publish(event, routing_key=STREAM, headers=headers)
    return account.after(event)


def withdraw(
    connection: blocking.Connection, who: str, account: Account, amount: int
) -> Account:
    """Decide by `account`; if that is out of date, by how it is now."""
    if account.balance < amount:
        print(f"{who} cannot withdraw {amount}: the balance is {account.balance}")
        return account
    try:
        account = append(connection, account, {"withdrawn": amount})
    except Nacked:
        print(f"{who} was too late, and looks again")
        return withdraw(connection, who, rebuild(connection), amount)
    print(f"{who} withdraws {amount}: the balance is {account.balance}")
    return account


def main(url: str = URL) -> None:
    """Two who know the same account want to have the same money."""
    with blocking.connect(url) as connection:
        connection.declare_queue(STREAM, durable=True, queue_type="stream")
        account = append(connection, Account(), {"deposited": 100})
        live = withdraw(connection, "Ada", account, 80)
        withdraw(connection, "Grace", account, 50)
        live = append(connection, live, {"deposited": 5})
        once, twice = rebuild(connection), rebuild(connection)
        print(f"rebuilt twice, as it was live: {once == twice == live}")
        print(f"{live.events} events make {live.balance}")
        connection.delete_queue(STREAM)


if __name__ == "__main__":
    main(*sys.argv[1:])
