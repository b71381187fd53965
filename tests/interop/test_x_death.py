"""pika reads in `x-death` what RabbitMQ would have written.

What is expected was taken from RabbitMQ 3.10, and is held against one again where
`WARREN_TEST_RABBITMQ` is set and RabbitMQ installed.
"""

from __future__ import annotations

import os
from operator import itemgetter
from typing import TYPE_CHECKING

import pika
import pytest

from tests.bench.errors import BenchError
from tests.bench.rabbitmq import RabbitMQ
from tests.interop.dead_letters import STORIES, Letter, Stage
from tests.interop.serving import OTHER_BROKER

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.interop

Headers = dict[str, object]


def died(
    queue: str, reason: str, keys: list[str], exchange: str = "", count: int = 1
) -> Headers:
    """A record of `x-death`."""
    return {
        "count": ("long", count),
        "reason": reason,
        "queue": queue,
        "time": "a time",
        "exchange": exchange,
        "routing-keys": keys,
    }


def since(milliseconds: str, record: Headers) -> Headers:
    """The record, of a message that came with an expiration."""
    return {**record, "original-expiration": milliseconds}


def history(*deaths: Headers, first: Headers | None = None) -> Headers:
    """The headers that tell of deaths, the latest of them foremost."""
    ends = {"first": first or deaths[-1], "last": deaths[0]}
    return {"x-death": list(deaths)} | {
        f"x-{end}-death-{key}": record[key]
        for end, record in ends.items()
        for key in ("queue", "reason", "exchange")
    }


OWN = {
    "text": "läuft",
    "number": ("int", 5),
    "large": ("long", 2**40),
    "list": [{"nested": ("bool", True)}],
}
COPIES = {"CC": ["copy", "nobody"]}
COPIED = history(died("work", "rejected", ["work", "copy", "nobody"]))
WENT_AWAY = since("30", died("first", "expired", ["first"]))
CAME_BACK = died("second", "rejected", ["first"], "both")
WENT_AGAIN = died("first", "rejected", ["first"])


def retried(count: int) -> Letter:
    """What comes back after so many rounds."""
    parked = died("parked", "expired", ["parked"], count=count)
    work = died("work", "rejected", ["work"], count=count)
    return Letter("", "work", None, history(parked, work))


EXPECTED = {
    "rejected": [
        Letter("", "grave", None, OWN | history(died("work", "rejected", ["work"])))
    ],
    "expired_by_its_queue": [
        Letter("", "grave", None, history(died("work", "expired", ["work"])))
    ],
    "expired_by_itself": [
        Letter(
            "", "grave", None, history(since("30", died("work", "expired", ["work"])))
        )
    ],
    "rejected_with_an_expiration": [
        Letter(
            *("", "grave", None),
            history(since("60000", died("work", "rejected", ["work"]))),
        )
    ],
    "returned_too_late": [
        Letter("", "work", "500", {}),
        Letter(
            *("", "grave", None),
            history(since("500", died("work", "expired", ["work"]))),
        ),
    ],
    "pushed_out": [
        Letter(
            *("", "grave", None),
            {"number": "first"} | history(died("work", "maxlen", ["work"])),
        ),
        Letter("", "work", None, {"number": "second"}),
    ],
    "refused": [
        Letter(
            *("", "grave", None),
            {"number": "second"} | history(died("work", "maxlen", ["work"])),
        ),
        Letter("", "work", None, {"number": "first"}),
    ],
    "given_up": [
        Letter("", "work", None, {}),
        Letter("", "work", None, {"x-delivery-count": ("long", 1)}),
        Letter("", "grave", None, history(died("work", "delivery_limit", ["work"]))),
    ],
    "several_hops": [
        Letter(
            *("", "grave", None),
            history(
                died("third", "maxlen", ["first"], "to-third"),
                died("second", "expired", ["first"], "to-second"),
                since("60000", died("first", "rejected", ["first"], "start")),
            ),
        )
    ],
    "rejected_in_a_circle": [
        Letter("", "work", None, {}),
        retried(1),
        retried(2),
        retried(3),
    ],
    "rejected_to_where_it_was": [
        Letter("", "work", None, {}),
        *(
            Letter(
                *("", "work", None),
                history(died("work", "rejected", ["work"], count=count)),
            )
            for count in (1, 2)
        ),
    ],
    "expired_in_a_circle": [
        Letter(
            *("all", "second", None),
            history(
                died("second", "expired", ["second"]),
                died("first", "expired", ["first"]),
            ),
        )
    ],
    "rejected_where_it_expired": [
        Letter("both", "first", None, history(WENT_AWAY)),
        Letter("both", "first", None, history(WENT_AWAY)),
        Letter("", "first", None, history(CAME_BACK, WENT_AWAY)),
        Letter("both", "first", None, history(WENT_AGAIN, CAME_BACK, WENT_AWAY)),
        Letter("both", "first", None, history(WENT_AGAIN, CAME_BACK, WENT_AWAY)),
    ],
    "copied_and_kept": [
        Letter("", "work", None, COPIES),
        Letter("letters", "work", None, COPIES | COPIED),
        Letter("letters", "work", None, COPIES | COPIED),
    ],
    "copied_and_dropped": [Letter("letters", "dead", None, COPIED)],
    "continued_by_its_reader": [
        Letter(
            *("", "grave", None),
            history(
                died("work", "rejected", ["work"]),
                died("elsewhere", "rejected", ["elsewhere"], count=7),
            ),
        )
    ],
}


def as_before(letter: Letter) -> Letter:
    """What RabbitMQ 3.10 and later versions agree about.

    3.10 turns the records behind the first around at each death, and has not learned
    to write `x-last-death-*`.
    """
    assert isinstance(letter.headers, dict)
    headers = {
        key: value
        for key, value in letter.headers.items()
        if not key.startswith("x-last-death-")
    }
    if "x-death" in headers:
        latest, *older = headers["x-death"]
        headers["x-death"] = [latest, *sorted(older, key=itemgetter("queue", "reason"))]
    return letter._replace(headers=headers)


@pytest.fixture(scope="session")
def rabbitmq_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A RabbitMQ of our own, if it is wanted and there."""
    if not os.environ.get("WARREN_TEST_RABBITMQ"):
        pytest.skip("WARREN_TEST_RABBITMQ=1 holds this against a RabbitMQ, too")
    try:
        with RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as node:
            yield f"amqp://guest:guest@127.0.0.1:{node.port}/"
    except BenchError as error:
        pytest.skip(str(error))


def told(story: str, url: str, prefix: str) -> list[Letter]:
    """What the story's reader found at that broker."""
    with (
        pika.BlockingConnection(pika.URLParameters(url)) as connection,
        Stage(connection, prefix) as stage,
    ):
        return STORIES[story](stage)


def test_every_story_has_an_end() -> None:
    assert EXPECTED.keys() == STORIES.keys()


@pytest.mark.parametrize("story", EXPECTED)
def test_a_dead_letter_tells_its_history(amqp_url: str, name: str, story: str) -> None:
    letters, expected = told(story, amqp_url, name), EXPECTED[story]
    if OTHER_BROKER:
        letters, expected = [*map(as_before, letters)], [*map(as_before, expected)]
    assert letters == expected


@pytest.mark.parametrize("story", EXPECTED)
def test_rabbitmq_tells_it_the_same_way(
    rabbitmq_url: str, name: str, story: str
) -> None:
    letters = told(story, rabbitmq_url, name)
    assert [*map(as_before, letters)] == [*map(as_before, EXPECTED[story])]
