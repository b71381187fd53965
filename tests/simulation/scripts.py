"""Stories that are not drawn: each is one that a seed has told, made short."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from tests.simulation.ledger import Note, QueueTerms
from tests.simulation.site import short_heads

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.story import Story
    from tests.simulation.user import User

KEPT: Final = QueueTerms()
ROUNDS: Final = 15


def note(name: str, delay: int = 0) -> Note:
    return Note(name, "", "a", persistent=True, delay=delay)


def doubt_outlives_a_clean_stop(story: Story) -> None:
    """What may have been delivered before a crash may still have been after a stop."""
    user = story.join("confirm")
    story.do(lambda: user.declare_queue("a", KEPT), is_settled=True)
    story.do(lambda: user.publish(note("m1")), is_settled=True)
    story.crash()
    story.stop()
    user = story.join("plain")
    story.do(lambda: user.get("a", no_ack=False))


def a_return_is_of_one_message(story: Story) -> None:
    """A message is no redelivery because another one had its place once."""
    user = _with_something_that_stays(story)
    story.do(lambda: user.publish(note("m1")))
    for kind in ("requeue", "ack"):
        story.do(lambda: user.get("a", no_ack=False))
        story.do(partial(user.settle, list(user.unacked), kind, multiple=False))
    story.stop()
    user = story.join("plain")
    story.do(lambda: user.publish(note("m2")))
    story.stop()
    user = story.join("plain")
    story.do(lambda: user.get("a", no_ack=False))


def a_move_between_a_message_and_its_copy(story: Story) -> None:
    """What is moved is not what was published last."""
    user = _with_something_that_stays(story)
    for number in range(ROUNDS):
        story.do(partial(user.publish, note(f"m{number}", delay=1)))
        story.do(story.tidy)
        story.do(story.pass_time, is_settled=True)
        story.crash()
        user = story.join("confirm")
        story.do(partial(user.get, "a", no_ack=True), is_settled=True)


def _with_something_that_stays(story: Story) -> User:
    """No segment is thrown away as long as that is in it."""
    user = story.join("confirm")
    story.do(lambda: user.declare_queue("a", KEPT), is_settled=True)
    story.do(lambda: user.declare_queue("b", KEPT), is_settled=True)
    stays = Note("stays", "", "b", persistent=True)
    story.do(lambda: user.publish(stays), is_settled=True)
    return user


def what_another_declares_is_not_safe_yet(story: Story) -> None:
    """Two declare one queue: neither is answered before it is safe."""
    for _ in range(2):
        user = story.join("plain")
        story.do(partial(user.declare_queue, "a", KEPT))
    story.crash()


def what_is_asked_with_a_declare_waits_for_it(story: Story) -> None:
    """Answers come in the order in which was asked."""
    user = story.join("plain")
    story.do(lambda: user.declare_queue("a", KEPT, then_get=True), is_settled=True)


def what_is_spilled_is_moved(story: Story) -> None:
    """It is looked for after each step, wherever the journal has it by then."""
    site = story.site
    site.limit_memory(0)
    with short_heads():
        user = story.join("confirm")
        for queue in ("a", "b"):
            story.do(partial(user.declare_queue, queue, KEPT), is_settled=True)
        for number in range(12):
            waits = Note(f"w{number}", "", "a", persistent=number % 5 != 2)
            story.do(partial(user.publish, waits), is_settled=number % 3 == 2)
        user.get("a", no_ack=False)
        for number in range(2 * ROUNDS):
            passes = [Note(f"p{number}{one}", "", "b", persistent=True) for one in "xy"]
            story.do(partial(user.publish, *passes))
            for step in (site.tidy, site.take_batch, site.run_batch, site.end_batch):
                story.do(step)
                story.do(story.misread_of(partial(user.get, "b", no_ack=True)))
            if number == ROUNDS:
                story.do(
                    partial(user.settle, list(user.unacked), "requeue", multiple=False)
                )
        for _ in range(5):
            story.do(story.misread_of(partial(user.get, "a", no_ack=False)))
        story.crash()
        user = story.join("plain")
        for _ in range(12):
            story.do(story.misread_of(partial(user.get, "a", no_ack=True)))


SCRIPTS: Final[tuple[Callable[[Story], None], ...]] = (
    doubt_outlives_a_clean_stop,
    a_return_is_of_one_message,
    a_move_between_a_message_and_its_copy,
    what_another_declares_is_not_safe_yet,
    what_is_asked_with_a_declare_waits_for_it,
    what_is_spilled_is_moved,
)
