"""Broker: the whole state, and the turns that change it.

A turn is one synchronous call from a shell: it begins with `begin_turn(now)`, runs to
its end, and leaves behind bytes in outboxes, notices for the log, and a next deadline.
The core never asks a clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from attrs import field, frozen

from warren_broker.core.access import Access
from warren_broker.core.administration import Administration
from warren_broker.core.alarms import Alarms
from warren_broker.core.arguments import RedeclareMode
from warren_broker.core.deadlines import Deadlines
from warren_broker.core.health import Health
from warren_broker.core.limits import Limits
from warren_broker.core.meaning import meaning
from warren_broker.core.notice import NOTICES_MAX, Notice
from warren_broker.core.parking import Parking
from warren_broker.core.promises import Promises
from warren_broker.core.sessions import Sessions
from warren_broker.core.stream.pump import Pump
from warren_broker.core.stream.snapshot import Snapshots
from warren_broker.core.sweeper import Sweeper
from warren_broker.core.vhost import VHost

if TYPE_CHECKING:
    from warren_broker.core.store import Store
    from warren_broker.core.tap import Tap

_MILLISECONDS: Final = 1000.0


@frozen(kw_only=True)
class Identity:
    """What the broker says of itself to every peer (connection.start).

    The product name steers clients: kombu chooses how it sets prefetch by it.
    """

    product: str = field(
        default="Warren",
        metadata=meaning(
            "The name; kombu, for one, chooses how it sets prefetch by it."
        ),
    )
    version: str = field(default="0.1.0", metadata=meaning("The version."))
    cluster_name: str = field(
        default="warren", metadata=meaning("What this broker is called.")
    )


@final
class Broker:
    """All virtual hosts, and what they share.

    Attributes:
        administration: the commands that change vhosts, users, permissions, policies.
        now: monotonic seconds at the start of the present turn.
        redeclare_mode: for what neither arguments nor policies give another.
        tap: what sessions publish through, if it was set before they began.
        raises_bugs: let an unexpected exception out of a turn, for tests; otherwise
            it costs one client its connection.
        pump: serves those who read streams.
        turn: the number of the present turn.
        work: deliveries that publishing caused, ever; a shell that shares the
            processor among its peers watches it grow.
        sessions: who has entered a virtual host.
        snapshots: what readers of streams hold in memory.
    """

    __slots__ = (
        "_notices",
        "_said_before",
        "_sure_offset",
        "_wall_offset",
        "access",
        "administration",
        "alarms",
        "deadlines",
        "health",
        "identity",
        "limits",
        "now",
        "parking",
        "promises",
        "pump",
        "raises_bugs",
        "redeclare_mode",
        "sessions",
        "snapshots",
        "store",
        "sweeper",
        "tap",
        "turn",
        "vhosts",
        "work",
    )

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        access: Access | None = None,
        identity: Identity | None = None,
        redeclare_mode: RedeclareMode = RedeclareMode.STRICT,
        now: float = 0.0,
        wall_seconds: float = 0.0,
    ) -> None:
        """Make a broker with the virtual host `/`.

        `now` and `wall_seconds` (since 1970) are the same moment on both clocks.
        """
        self.limits = limits or Limits()
        self.access = access or Access()
        self.identity = identity or Identity()
        self.redeclare_mode = redeclare_mode
        self.now = now
        self.turn = 0
        self.work = 0
        self.raises_bugs = False
        self._wall_offset = self._sure_offset = wall_seconds - now
        self.alarms = Alarms()
        self.deadlines = Deadlines()
        self.health = Health()
        self.store: Store | None = None
        self.tap: Tap | None = None
        self.promises = Promises()
        self.parking = Parking()
        self.pump = Pump(self)
        self.snapshots = Snapshots(self.limits)
        self._said_before = 0
        self.sweeper = Sweeper(self)
        self._notices: list[Notice] = []
        self.vhosts: dict[str, VHost] = {}
        self.sessions = Sessions()
        self.add_vhost("/")
        self.administration = Administration(self)

    def add_vhost(self, name: str) -> VHost:
        """Return the virtual host `name`, made now if it is new.

        It is not stored: for that see `Administration.create_vhost`.
        """
        vhost = self.vhosts.get(name)
        if vhost is None:
            vhost = self.vhosts[name] = VHost(self, name)
        return vhost

    @property
    def wall_seconds(self) -> float:
        """The present turn's moment in seconds since 1970."""
        return self.now + self._wall_offset

    @property
    def sure_wall_ms(self) -> int:
        """Milliseconds since 1970 by the earlier of the last two looks at the clock.

        For what cannot be undone: a clock that jumps ahead for a moment makes nothing
        old. That is 1970 as long as it was looked at once, and doubted.
        """
        return round((self.now + self._sure_offset) * _MILLISECONDS)

    def doubt_wall(self) -> None:
        """What the wall clock has shown so far is not sure, see `sure_wall_ms`."""
        self._sure_offset = -self.now

    def set_wall(self, wall_seconds: float) -> float:
        """The wall clock was looked at, a while after it was before.

        Return by how much it was moved meanwhile, in seconds. What has a moment on the
        monotonic clock already keeps that.
        """
        step = wall_seconds - self.wall_seconds
        self._sure_offset = self._wall_offset + min(step, 0)
        self._wall_offset += step
        return step

    def at(self, wall_seconds: float) -> float:
        """Return the monotonic second that is `wall_seconds` since 1970."""
        return wall_seconds - self._wall_offset

    def at_ms(self, wall_ms: int) -> float:
        """Return the monotonic second that is `wall_ms` milliseconds since 1970."""
        return self.at(wall_ms / _MILLISECONDS)

    def wall_ms(self, when: float | None) -> int:
        """Return the monotonic second `when` in milliseconds since 1970; None: 0."""
        if when is None:
            return 0
        return max(1, round((when + self._wall_offset) * _MILLISECONDS))

    def begin_turn(self, now: float) -> None:
        """Start a turn at `now`; time never runs backwards."""
        self.turn += 1
        self.now = max(self.now, now)
        if self.store is not None:
            self._said_before = self.store.count

    def next_deadline(self) -> float | None:
        """Return when `on_deadline` is wanted; None: not before something else."""
        return self.deadlines.next()

    def on_deadline(self, now: float) -> None:
        """Turn: act on all that is due at `now`."""
        self.begin_turn(now)
        self.deadlines.run(self.now)

    def lean_on_store(self) -> None:
        """This turn says what is true only if what earlier turns have said is safe."""
        self._said_before = -1

    def ticket_due(self, *, is_late: bool = False) -> int:
        """Return the ticket that must be committed before this turn is spoken of.

        0 if it has said nothing to the store. With `is_late` what earlier turns have
        said counts as well.
        """
        store = self.store
        if store is None or (store.count == self._said_before and not is_late):
            return 0
        return store.said if store.said > store.committed else 0

    def definition_due(self) -> int:
        """Return the ticket that must be recorded before definitions are spoken of.

        0 if all are safe, and what this turn has said. What others have published does
        not matter to it, and may have to wait for whoever asks.
        """
        store = self.store
        if store is None:
            return 0
        ticket = store.defined if store.count == self._said_before else store.said
        return ticket if ticket > store.recorded else 0

    def on_committed(self, now: float) -> None:
        """Turn: the store has made more safe; what was promised for that is due."""
        self.begin_turn(now)
        if self.store is not None:
            self.promises.keep(self.store.committed, self.store.recorded)

    def ack_timeout_seconds(self, chosen_ms: int | None) -> float | None:
        """Return the ack timeout for a queue that chose `chosen_ms`; 0 means none."""
        milliseconds = self.limits.ack_timeout_ms if chosen_ms is None else chosen_ms
        return milliseconds / _MILLISECONDS if milliseconds else None

    def notice(self, event: str, **fields: object) -> None:
        """Leave a notice for the log. A flood of them loses its tail."""
        if len(self._notices) < NOTICES_MAX:
            self._notices.append(Notice(event, fields))

    def take_notices(self) -> list[Notice]:
        """Remove and return the notices of the turns since the last call."""
        if not self._notices:
            return []
        notices, self._notices = self._notices, []
        return notices
