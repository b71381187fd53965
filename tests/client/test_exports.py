"""The public names: a decision, and not an accident of imports."""

from __future__ import annotations

import warren
import warren.blocking


def test_every_name_is_there() -> None:
    for name in warren.__all__:
        assert getattr(warren, name).__doc__, name
    assert set(warren.__all__) <= set(dir(warren))
    assert warren.__all__ == sorted(warren.__all__)


def test_blocking_has_the_same_names() -> None:
    """All that is awaited, and what only trio has is not there."""
    for own, other in [
        (warren.Connection, warren.blocking.Connection),
        (warren.Channel, warren.blocking.Channel),
        (warren.Delivery, warren.blocking.Delivery),
    ]:
        missing = {name for name in public(own) if not hasattr(other, name)}
        assert missing <= TRIOS


TRIOS = {
    *("call", "request", "compose", "send_outgoing", "wait_settled", "wait_room"),
    *("subscribe", "get_one", "common", "codecs", "server_properties", "connects"),
    *("wait_link", "is_lost", "run", "close", "wait_finished", "wait_connected"),
    *("resends", "publish_nowait", "next_tag", "listen", "forget", "ack", "settle"),
    *(
        "extend_lease",
        "has_ended",
        "is_warren",
        "unsettled_count",
        "start",
        "aclose",
        "discard",
    ),
    *("on_event", "on_delivered", "reopen", "was_got", "delivery_tag"),
}


def public(kind: type) -> set[str]:
    """What people may use of a class."""
    return {name for name in vars(kind) if not name.startswith("_")}
