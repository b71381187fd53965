"""Sharing: which member of a group reads which partition."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Part = TypeVar("Part")
Member = TypeVar("Member")


def share(
    parts: Sequence[Part], members: Sequence[Member], owners: Mapping[Part, Member]
) -> dict[Part, Member]:
    """Return whose each part is to be: as many for all, give or take one.

    As few as possible go to another member than they have now by `owners`. Members
    that are too many get none.
    """
    held: dict[Member, list[Part]] = {member: [] for member in members}
    for part in parts:
        owner = owners.get(part)
        if owner in held:
            held[owner].append(part)
    each, extra = divmod(len(parts), len(members))
    # Those who have most now are those who keep one more.
    order = sorted(members, key=lambda member: -len(held[member]))
    quotas = {member: each + (rank < extra) for rank, member in enumerate(order)}
    shared: dict[Part, Member] = {}
    for member, own in held.items():
        shared.update(dict.fromkeys(own[: quotas[member]], member))
    room = [
        member
        for member in order
        for _ in range(quotas[member] - min(quotas[member], len(held[member])))
    ]
    free = [part for part in parts if part not in shared]
    shared.update(zip(free, room, strict=True))
    return shared
