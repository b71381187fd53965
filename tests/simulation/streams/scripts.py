"""Stories with streams that are not drawn: what seeds come to too seldom."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from tests.simulation.streams.book import StreamTerms, Word
from tests.simulation.streams.story import Producer, brisk

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.streams.story import StreamStory
    from tests.simulation.streams.user import StreamUser

ROUNDS: Final = 8


def what_is_compacted_is_read(story: StreamStory) -> None:
    """Some keys are seldom written, and chunks between them go as a whole."""
    with brisk():
        user = _with_stream(story, StreamTerms(segment=1200, is_compacted=True))
        story.do(lambda: user.read("s", "first", 100), is_settled=True)
        for number in range(ROUNDS):
            once = f"once {number}"
            topics = "often", once, once, "often", f"k{number % 3}"
            for at, topic in enumerate(topics):
                name = f"w{number}.{at}"
                word = Word(name, "", "s", persistent=True, topic=topic)
                story.do(partial(user.publish, word), is_settled=True)
            for step in (story.pass_time, story.pass_time, story.pass_time):
                story.do(step, is_settled=True)
        story.do(lambda: user.read("s", "first", 100), is_settled=True)
        story.crash()


def a_duplicate_is_as_safe_as_the_first(story: StreamStory) -> None:
    """Who takes over is not told of more than who was there before."""
    user = _with_stream(story, StreamTerms())
    producer = Producer("p", "s")
    words = [
        Word(f"w{number}", "", "s", persistent=True, producer=(producer.name, number))
        for number in range(3)
    ]
    story.do(partial(user.publish, *words))
    other = story.join("confirm")
    story.do(partial(other.publish, *words))
    story.crash()
    again = story.join("confirm")
    story.do(partial(again.publish, *words), is_settled=True)
    story.crash()


def a_producer_is_known_when_its_record_is_gone(story: StreamStory) -> None:
    """Retention takes the record, and a start what is in memory."""
    user = _with_stream(story, StreamTerms(segment=300, length=4))
    story.do(lambda: user.read("s", "first", 100), is_settled=True)
    word = Word("once", "", "s", persistent=True, producer=("p", 1))
    story.do(partial(user.publish, word), is_settled=True)
    for number in range(12):
        other = Word(f"w{number}", "", "s", persistent=True)
        story.do(partial(user.publish, other), is_settled=True)
    for end in (story.crash, story.stop):
        end()
        again = story.join("confirm")
        story.do(partial(again.publish, word), is_settled=True)
    story.crash()


def what_is_held_goes_to_the_next(story: StreamStory) -> None:
    """A member of a group leaves, and has not settled all that it was given."""
    user = _with_stream(story, StreamTerms())
    words = [Word(f"w{number}", "", "s", persistent=True) for number in range(9)]
    story.do(partial(user.publish, *words), is_settled=True)
    members = [story.join("plain") for _ in range(3)]
    for member in members:
        story.do(partial(member.join_group, "s", "team", 4), is_settled=True)
    for member in members[:2]:
        tags = [*member.held]
        story.do(partial(member.settle_records, tags[1:2], "ack", multiple=False))
        story.users.remove(member)
        story.do(partial(member.leave, "hang up"), is_settled=True)
    story.crash()


def _with_stream(story: StreamStory, terms: StreamTerms) -> StreamUser:
    user = story.join("confirm")
    story.do(partial(user.declare_stream, "s", terms), is_settled=True)
    return user  # type: ignore[return-value]


SCRIPTS: Final[tuple[Callable[[StreamStory], None], ...]] = (
    what_is_compacted_is_read,
    a_duplicate_is_as_safe_as_the_first,
    a_producer_is_known_when_its_record_is_gone,
    what_is_held_goes_to_the_next,
)
