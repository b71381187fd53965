"""Stories on a small disk that are not drawn: what seeds come to too seldom."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from tests.simulation.history import Violation
from tests.simulation.ledger import Note, QueueTerms
from tests.simulation.small_disk.story import HeavyWord
from tests.simulation.streams.book import StreamTerms, Word
from tests.simulation.streams.story import brisk

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.small_disk.story import SmallStory

KEPT: Final = QueueTerms()
LETTERS: Final = QueueTerms(letters="dead")


def what_is_moved_is_never_held(story: SmallStory) -> None:
    """A turn that takes a message from one queue to another is in one record."""
    user = story.join("confirm")
    story.do(lambda: user.declare_queue("dead", KEPT), is_settled=True)
    story.do(lambda: user.declare_queue("a", LETTERS), is_settled=True)
    for number in range(8):
        user = story.join("confirm")
        note = Note(f"m{number}", "", "a", persistent=True)
        story.do(partial(user.publish, note), is_settled=True)
        story.do(partial(user.get, "a", no_ack=False))
        story.site.make_short(0)
        story.do(partial(user.settle, [*user.unacked], "refuse", multiple=False))
        story.do(partial(story.site.keep, number))
        story.crash()
        story.site.give_room()
        story.settle_down()


def what_is_held_is_said_again(story: SmallStory) -> None:
    """When there is room for it."""
    user = story.join("confirm")
    story.do(lambda: user.declare_queue("a", KEPT), is_settled=True)
    story.site.make_short(0)
    heavy = HeavyWord("w1", "", "a", persistent=True)
    story.do(partial(user.publish, heavy), is_settled=True)
    story.do(partial(user.publish, Note("m2", "", "a", persistent=True)))
    story.site.give_room()
    story.settle_down()
    story.crash()


def what_is_held_goes_with_its_queue(story: SmallStory) -> None:
    """Nobody is told that it is safe before the queue is known to be gone."""
    for number in range(8):
        name = f"q{number}"
        user, other = story.join("confirm"), story.join("plain")
        story.do(partial(user.declare_queue, name, KEPT), is_settled=True)
        note = Note(f"m{number}", "", name, persistent=True)
        story.do(partial(user.publish, note), is_settled=True)
        story.site.make_short(0)
        heavy = HeavyWord(f"w{number}", "", name, persistent=True)
        story.do(partial(user.publish, heavy))
        story.do(partial(story.site.keep, number))
        story.do(story.site.run_batch)
        story.do(partial(other.delete_queue, name))
        story.do(story.site.end_batch)
        story.crash()
        story.site.give_room()
        story.settle_down()


def what_comes_later_leaves_the_reserve_as_well(story: SmallStory) -> None:
    """It is published between two tries, of which the last one has found no room."""
    user = story.join("confirm")
    story.do(lambda: user.declare_queue("a", KEPT), is_settled=True)
    story.site.make_short(0)
    for number in range(30):
        heavy = HeavyWord(f"w{number}", "", "a", persistent=True)
        story.do(partial(user.publish, heavy))
        story.do(partial(story.site.keep, 1 + number % 3))
    if story.site.room < story.site.RESERVE // 2:
        raise Violation("messages have come into the room of the reserve")


def old_records_make_room_for_new_ones(story: SmallStory) -> None:
    """They are let go of though what is new has no room yet."""
    with brisk():
        user = story.join("confirm")
        terms = StreamTerms(segment=300, age=6)
        story.do(lambda: user.declare_stream("s", terms), is_settled=True)
        for number in range(30):
            word = Word(f"w{number}", "", "s", persistent=True)
            story.do(partial(user.publish, word), is_settled=True)
        story.site.make_short(0)
        word = HeavyWord("w99", "", "s", persistent=True)
        story.do(partial(user.publish, word))
        story.relieve()


def a_stream_is_declared_on_a_full_disk(story: SmallStory) -> None:
    """It has a file, wherever its definition is."""
    for number in range(6):
        user = story.join("confirm")
        story.site.make_short(0)
        name = f"s{number}"
        story.do(partial(user.declare_stream, name, StreamTerms()))
        word = Word(f"w{number}", "", name, persistent=True)
        story.do(partial(user.publish, word))
        story.do(partial(story.site.keep, number))
        story.crash()
        story.site.give_room()
        story.settle_down()


SCRIPTS: Final[tuple[Callable[[SmallStory], None], ...]] = (
    what_is_moved_is_never_held,
    what_is_held_is_said_again,
    what_is_held_goes_with_its_queue,
    what_comes_later_leaves_the_reserve_as_well,
    old_records_make_room_for_new_ones,
    a_stream_is_declared_on_a_full_disk,
)
