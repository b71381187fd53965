"""The commands of the machine that declare, bind and delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.core.comparison import queue_arguments
from tests.model_parts import Binding, Exchange
from tests.model_queue import Queue
from warren_broker.core.arguments import parse_queue_arguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.model import Model
    from tests.themes import Themes
    from warren_broker.core.session import Session


class TopologyCommands:
    """Each does the same to a session of the broker and to the model."""

    sessions: dict[str, Session]
    model: Model
    themes: Themes
    both: Callable[[Callable[[], object], Callable[[], object]], None]

    def declare_queue(
        self,
        channel: str,
        name: str,
        special_0: int | None,
        special_1: int | None,
        *,
        again: bool,
        **features: object,
    ) -> None:
        session, known = self.sessions[channel[0]], self.model.queues.get(name)
        chosen = dict(one for one in features.values() if one is not None)
        chosen["special"] = self.themes.features(special_0, special_1)
        auto_delete = bool(chosen.get("auto_delete"))
        arguments = queue_arguments(name, chosen)
        if known is not None and again:
            arguments, auto_delete = known.arguments, known.auto_delete
        exclusive = bool(chosen.get("exclusive"))
        wanted = Queue(
            name,
            channel[0] if exclusive else None,
            auto_delete,
            arguments,
            self.model.now,
        )
        self.both(
            lambda: session.declare_queue(
                name,
                durable=False,
                exclusive=exclusive,
                auto_delete=auto_delete,
                arguments=arguments,
            ),
            lambda: (name, *self.model.declare_queue(wanted)),
        )

    def change_rules(self, name: str, **features: object) -> None:
        """As policies do, while messages flow."""
        known = self.model.queues.get(name)
        if known is not None:
            chosen = dict(one for one in features.values() if one is not None)
            rules = known.arguments | queue_arguments(name, chosen)
            real = self.sessions["A"].vhost.queues[name]
            self.both(
                lambda: real.apply_rules(parse_queue_arguments(rules, name, "/")),
                lambda: self.model.change_rules(known, rules),
            )

    def delete_queue(self, channel: str, name: str, **conditions: bool) -> None:
        session = self.sessions[channel[0]]
        self.both(
            lambda: session.delete_queue(name, **conditions),
            lambda: self.model.delete_queue(name, channel[0], **conditions),
        )

    def purge(self, channel: str, name: str) -> None:
        self.both(
            lambda: self.sessions[channel[0]].purge_queue(name),
            lambda: self.model.purge(name, channel[0]),
        )

    def declare_exchange(
        self,
        name: str,
        kind: str,
        *,
        auto_delete: bool,
        internal: bool,
        alternate: str | None,
    ) -> None:
        wanted = {} if alternate is None else {"alternate-exchange": alternate}
        self.both(
            lambda: self.sessions["A"].declare_exchange(
                name,
                kind,
                durable=False,
                auto_delete=auto_delete,
                internal=internal,
                arguments=wanted,
            ),
            lambda: self.model.declare_exchange(
                Exchange(name, kind, auto_delete, internal, alternate)
            ),
        )

    def delete_exchange(self, name: str, *, if_unused: bool) -> None:
        self.both(
            lambda: self.sessions["A"].delete_exchange(name, if_unused=if_unused),
            lambda: self.model.delete_exchange(name, if_unused=if_unused),
        )

    def bind(self, **parts: object) -> None:
        self.change_binding("bind", **parts)

    def unbind(self, **parts: object) -> None:
        self.change_binding("unbind", **parts)

    def unbind_one(self, pick: int) -> None:
        """Unbind what is bound: an unbind drawn at random seldom hits."""
        bindings = [
            (exchange.name, binding)
            for exchange in self.model.exchanges.values()
            for binding in exchange.bindings
        ]
        if bindings:
            source, one = bindings[pick % len(bindings)]
            target = (one.kind, one.name)
            self.unbind(
                channel="A1",
                source=source,
                target=target,
                key=one.key,
                arguments=one.arguments,
            )

    def change_binding(
        self,
        verb: str,
        *,
        channel: str,
        source: str,
        target: tuple[str, str],
        key: str,
        arguments: dict[str, object],
    ) -> None:
        kind, name = target
        session = self.sessions[channel[0]]
        change = getattr(session, f"{verb}_{kind}")
        expected = getattr(self.model, verb)
        binding = Binding(kind, name, key, arguments)
        self.both(
            lambda: change(name, source, key, arguments),
            lambda: expected(source, binding, channel[0]),
        )
