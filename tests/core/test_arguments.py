"""Arguments: what they mean, what is refused in which words, what equals what."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.errors import PreconditionFailed
from warren_broker.core.arguments import (
    ConsumerArguments,
    ExchangeArguments,
    LeaseRenewal,
    OverflowMode,
    QueueArguments,
    QueueType,
    TimeoutAction,
    canonical,
    check_queue_properties,
    exchange_differences,
    parse_consumer_arguments,
    parse_exchange_arguments,
    parse_queue_arguments,
    queue_differences,
)
from warren_broker.core.exchange import DirectExchange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.core.arguments import Difference

TEN_YEARS_MS = 315_360_000_000


class Bytes(bytes):
    """Bytes of the wire's type `x`, which the codec tells from a long string."""


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from([0.0, 1.0, -1.0, "", "1", b"", b"1", Bytes(b"1"), Decimal(1)])
    | st.just(datetime(2024, 1, 1, tzinfo=UTC)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2)
    ),
    max_leaves=6,
)


def equal(one: object, other: object) -> bool:
    """Equality of field values as one would tell it."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


@given(values, values)
def test_canonical_forms_are_equal_exactly_for_equal_values(
    one: object, other: object
) -> None:
    assert (canonical(one) == canonical(other)) is equal(one, other)
    assert hash(canonical(one)) == hash(canonical(one))


@given(st.dictionaries(st.sampled_from("abc"), values))
def test_the_order_of_keys_does_not_count(table: dict[str, object]) -> None:
    assert canonical(dict(reversed(table.items()))) == canonical(table)


def test_deep_nesting_needs_no_recursion() -> None:
    value: object = []
    for _ in range(100_000):
        value = [value]
    assert len(canonical(value)) == 2 * 100_001


# Queues


def test_no_arguments_ask_for_nothing() -> None:
    assert parse_queue_arguments({}, "q", "/") == QueueArguments()
    assert QueueArguments() == QueueArguments(
        queue_type=QueueType.CLASSIC, overflow=OverflowMode.DROP_HEAD
    )


@pytest.mark.parametrize(
    ("key", "value", "field", "expected"),
    [
        ("x-message-ttl", 0, "message_ttl_ms", 0),
        ("x-message-ttl", TEN_YEARS_MS, "message_ttl_ms", TEN_YEARS_MS),
        ("x-expires", 1, "expires_ms", 1),
        ("x-max-length", 0, "max_length", 0),
        ("x-max-length-bytes", 2**40, "max_length_bytes", 2**40),
        ("x-overflow", "reject-publish", "overflow", OverflowMode.REJECT_PUBLISH),
        (
            "x-overflow",
            "reject-publish-dlx",
            "overflow",
            OverflowMode.REJECT_PUBLISH_DLX,
        ),
        ("x-max-priority", 255, "max_priority", 255),
        ("x-single-active-consumer", True, "single_active_consumer", True),
        ("x-dead-letter-exchange", "", "dead_letter_exchange", ""),
        ("x-delivery-limit", 5, "delivery_limit", 5),
        ("x-delivery-limit", -1, "delivery_limit", None),
        ("x-consumer-timeout", 60_000, "consumer_timeout_ms", 60_000),
        ("x-queue-type", "classic", "queue_type", QueueType.CLASSIC),
    ],
)
def test_queue_arguments(key: str, value: object, field: str, expected: object) -> None:
    parsed = parse_queue_arguments({key: value}, "q", "/")
    assert attrs.asdict(parsed) == attrs.asdict(QueueArguments()) | {field: expected}


def test_a_dead_letter_routing_key_goes_with_an_exchange() -> None:
    arguments = {"x-dead-letter-routing-key": "k", "x-dead-letter-exchange": "x"}
    parsed = parse_queue_arguments(arguments, "q", "/")
    assert parsed.dead_letter_exchange == "x"
    assert parsed.dead_letter_routing_key == "k"


def test_a_quorum_queue_has_a_delivery_limit_unless_it_says_otherwise() -> None:
    for given_limit, limit in (({}, 20), ({"x-delivery-limit": -1}, None)):
        arguments: dict[str, object] = {"x-queue-type": "quorum", **given_limit}
        parsed = parse_queue_arguments(arguments, "q", "/")
        assert parsed.queue_type is QueueType.QUORUM
        assert parsed.delivery_limit == limit


def test_what_celery_declares_for_delayed_delivery() -> None:
    parsed = parse_queue_arguments(
        {
            "x-queue-type": "quorum",
            "x-overflow": "reject-publish",
            "x-message-ttl": 2**27 * 1000,
            "x-dead-letter-exchange": "celery_delayed_26",
            "x-dead-letter-strategy": "at-least-once",
        },
        "celery_delayed_27",
        "/",
    )
    assert parsed.message_ttl_ms == 2**27 * 1000
    assert parsed.overflow is OverflowMode.REJECT_PUBLISH


@pytest.mark.parametrize(
    "key",
    [
        "x-queue-mode",
        "x-queue-version",
        "x-queue-master-locator",
        "x-queue-leader-locator",
        "x-quorum-initial-group-size",
        "x-initial-cluster-size",
        "x-max-in-memory-length",
        "x-dead-letter-strategy",
        "x-anybodys-own",
        "mine",
    ],
)
@pytest.mark.parametrize("value", [1, "lazy", None])
def test_what_means_nothing_here_is_accepted(key: str, value: object) -> None:
    assert parse_queue_arguments({key: value}, "q", "/") == QueueArguments()


NOT_INTEGERS = [
    ("5", "longstr"),
    (5.0, "double"),
    (True, "bool"),
    (None, "void"),
    (b"5", "binary"),
    (Decimal(5), "decimal"),
    ([5], "array"),
    ({"5": 5}, "table"),
    (datetime(2024, 1, 1, tzinfo=UTC), "timestamp"),
]
DURATIONS = ["x-message-ttl", "x-expires"]
COUNTS = ["x-max-length", "x-max-length-bytes", "x-max-priority", "x-consumer-timeout"]


def assert_refused(arguments: dict[str, object], key: str, reason: str) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        parse_queue_arguments(arguments, "q", "/")
    assert (
        caught.value.reply_text
        == f"PRECONDITION_FAILED - invalid arg '{key}' for queue 'q' in vhost '/': "
        + reason
    )


@pytest.mark.parametrize("key", [*DURATIONS, *COUNTS, "x-delivery-limit"])
@pytest.mark.parametrize(("value", "name"), NOT_INTEGERS)
def test_an_integer_is_asked_for(key: str, value: object, name: str) -> None:
    assert_refused({key: value}, key, f'"expected integer, got {name}"')


@pytest.mark.parametrize("key", [*DURATIONS, *COUNTS])
@given(number=st.integers(max_value=-1))
def test_no_number_is_negative(key: str, number: int) -> None:
    assert_refused({key: number}, key, f"{{value_negative,{number}}}")


@pytest.mark.parametrize("key", DURATIONS)
def test_no_duration_is_over_ten_years(key: str) -> None:
    number = TEN_YEARS_MS + 1
    assert_refused({key: number}, key, f"{{value_too_large,{number}}}")


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("x-expires", 0, "{value_zero,0}"),
        ("x-max-priority", 256, "{max_value_exceeded,256}"),
        ("x-overflow", "foo", "invalid_overflow"),
        ("x-overflow", 1, "{unacceptable_type,signedint}"),
        ("x-overflow", 2**31, "{unacceptable_type,long}"),
        ("x-single-active-consumer", "true", "{unacceptable_type,longstr}"),
        ("x-single-active-consumer", 1, "{unacceptable_type,signedint}"),
        ("x-dead-letter-routing-key", 1, "{unacceptable_type,signedint}"),
        ("x-dead-letter-routing-key", "k", "routing_key_but_no_dlx_defined"),
        ("x-queue-type", 1, "{unacceptable_type,signedint}"),
        ("x-queue-type", "foo", "\"unsupported queue type 'foo'\""),
    ],
)
def test_other_refusals(key: str, value: object, reason: str) -> None:
    assert_refused({key: value}, key, reason)


def test_a_dead_letter_exchange_is_a_name() -> None:
    with pytest.raises(PreconditionFailed) as caught:
        parse_queue_arguments({"x-dead-letter-exchange": 1}, "q", "/")
    assert caught.value.text == (
        "invalid type 'signedint' for arg 'x-dead-letter-exchange' "
        "in queue 'q' in vhost '/'"
    )


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_retention_is_not_promised_by_a_queue(queue_type: str) -> None:
    arguments = {"x-max-age": "1D", "x-queue-type": queue_type}
    with pytest.raises(PreconditionFailed) as caught:
        parse_queue_arguments(arguments, "q", "v")
    assert caught.value.text == (
        "invalid arg 'x-max-age' for queue 'q' in vhost 'v'"
        f" of queue type rabbit_{queue_type}_queue"
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"durable": False},
            "invalid property 'non-durable' for queue 'q' in vhost '/'",
        ),
        (
            {"exclusive": True},
            "invalid property 'exclusive-owner' for queue 'q' in vhost '/'",
        ),
        (
            {"auto_delete": True},
            "invalid property 'auto-delete' for queue 'q' in vhost '/'",
        ),
        (
            {"server_named": True},
            "Cannot declare a server-named queue for type rabbit_quorum_queue",
        ),
    ],
)
def test_what_a_quorum_queue_cannot_be(changes: dict[str, bool], text: str) -> None:
    usual = {
        "durable": True,
        "exclusive": False,
        "auto_delete": False,
        "server_named": False,
    }
    check_queue_properties(QueueType.QUORUM, "q", "/", **usual)
    check_queue_properties(QueueType.CLASSIC, "q", "/", **usual | changes)
    with pytest.raises(PreconditionFailed) as caught:
        check_queue_properties(QueueType.QUORUM, "q", "/", **usual | changes)
    assert caught.value.text == text


# Declaring again


@attrs.define
class Queue:
    """A queue that was declared."""

    name: str = "q"
    durable: bool = True
    auto_delete: bool = False
    arguments: dict[str, object] = attrs.field(factory=dict)


def redeclare(current: dict[str, object], received: dict[str, object]) -> str:
    """Return the text of the first difference; empty if there is none."""
    differences = queue_differences(
        Queue(arguments=current),
        durable=True,
        auto_delete=False,
        arguments=received,
        vhost="/",
    )
    return first_text(differences)


def first_text(differences: Iterator[Difference]) -> str:
    return next((each.text for each in differences), "")


@pytest.mark.parametrize(
    ("current", "received", "difference"),
    [
        (
            {"x-message-ttl": 1000},
            {},
            "received none but current is the value '1000' of type 'signedint'",
        ),
        (
            {},
            {"x-message-ttl": 2**31},
            "received the value '2147483648' of type 'long' but current is none",
        ),
        (
            {"x-message-ttl": 1000},
            {"x-message-ttl": 2000},
            "received '2000' but current is '1000'",
        ),
        (
            {"x-message-ttl": 1000},
            {"x-message-ttl": "1000"},
            "received '1000' but current is '1000'",
        ),
        (
            {"x-message-ttl": 1000},
            {"x-message-ttl": 1000.0},
            "received '1000.0' but current is '1000'",
        ),
        (
            {"x-message-ttl": None},
            {},
            "received none but current is the value 'undefined' of type 'void'",
        ),
        (
            {"x-message-ttl": datetime(1970, 1, 2, tzinfo=UTC)},
            {},
            "received none but current is the value '86400' of type 'timestamp'",
        ),
    ],
)
def test_a_queue_argument_that_differs(
    current: dict[str, object], received: dict[str, object], difference: str
) -> None:
    expected = (
        f"inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': {difference}"
    )
    assert redeclare(current, received) == expected


def test_a_flag_that_differs() -> None:
    assert redeclare({}, {"x-single-active-consumer": True}) == (
        "inequivalent arg 'x-single-active-consumer' for queue 'q' in vhost '/': "
        "received the value 'true' of type 'bool' but current is none"
    )


def test_classic_is_what_a_queue_is_without_a_type() -> None:
    classic: dict[str, object] = {"x-queue-type": "classic"}
    assert redeclare(classic, {}) == ""
    assert redeclare({}, classic) == ""
    assert redeclare({"x-queue-type": "quorum"}, {}) == (
        "inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': "
        "received none but current is the value 'quorum' of type 'longstr'"
    )


def test_arguments_nobody_knows_are_not_compared() -> None:
    assert redeclare({"mine": 1}, {"mine": 2, "x-yours": 3}) == ""


@given(
    st.dictionaries(
        st.sampled_from(["x-message-ttl", "x-max-length", "x-overflow"]), values
    )
)
def test_a_declare_repeated_is_equivalent(arguments: dict[str, object]) -> None:
    assert redeclare(arguments, dict(arguments)) == ""


@pytest.mark.parametrize("key", ["durable", "auto_delete"])
def test_a_queue_property_that_differs(key: str) -> None:
    properties = {"durable": True, "auto_delete": False}
    properties[key] = not properties[key]
    differences = queue_differences(Queue(), arguments={}, vhost="/", **properties)
    new, old = (str(v).lower() for v in (properties[key], not properties[key]))
    assert first_text(differences) == (
        f"inequivalent arg '{key}' for queue 'q' in vhost '/':"
        f" received '{new}' but current is '{old}'"
    )


def redeclare_exchange(**changes: object) -> str:
    exchange = DirectExchange("x", durable=True, arguments={"alternate-exchange": "a"})
    usual: dict[str, object] = {
        "type_name": "direct",
        "durable": True,
        "auto_delete": False,
        "internal": False,
        "arguments": {"alternate-exchange": "a", "mine": 1},
    }
    differences = exchange_differences(exchange, vhost="/", **usual | changes)  # type: ignore[arg-type]
    return first_text(differences)


@pytest.mark.parametrize(
    ("changes", "key", "difference"),
    [
        ({"type_name": "topic"}, "type", "received 'topic' but current is 'direct'"),
        ({"durable": False}, "durable", "received 'false' but current is 'true'"),
        (
            {"auto_delete": True},
            "auto_delete",
            "received 'true' but current is 'false'",
        ),
        ({"internal": True}, "internal", "received 'true' but current is 'false'"),
        (
            {"arguments": {}},
            "alternate-exchange",
            "received none but current is the value 'a' of type 'longstr'",
        ),
        (
            {"arguments": {"alternate-exchange": "b"}},
            "alternate-exchange",
            "received 'b' but current is 'a'",
        ),
    ],
)
def test_an_exchange_that_differs(
    changes: dict[str, object], key: str, difference: str
) -> None:
    assert redeclare_exchange() == ""
    assert redeclare_exchange(**changes) == (
        f"inequivalent arg '{key}' for exchange 'x' in vhost '/': {difference}"
    )


# Exchanges and consumers


def test_exchange_arguments() -> None:
    assert parse_exchange_arguments({}, "x", "/") == ExchangeArguments()
    parsed = parse_exchange_arguments({"alternate-exchange": "a", "mine": 1}, "x", "/")
    assert parsed == ExchangeArguments(alternate_exchange="a")


@pytest.mark.parametrize(("value", "name"), [(1, "signedint"), (None, "void")])
def test_an_alternate_exchange_is_a_name(value: object, name: str) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        parse_exchange_arguments({"alternate-exchange": value}, "x", "/")
    assert caught.value.text == (
        f"invalid type '{name}' for arg 'alternate-exchange'"
        " in exchange 'x' in vhost '/'"
    )


def test_consumer_arguments() -> None:
    assert parse_consumer_arguments({}, "q", "/") == ConsumerArguments()
    arguments = {"x-priority": -5, "x-consumer-timeout": 1000, "mine": "x"}
    parsed = parse_consumer_arguments(arguments, "q", "/")
    assert parsed == ConsumerArguments(priority=-5, consumer_timeout_ms=1000)


@pytest.mark.parametrize(
    ("key", "value", "field", "expected"),
    [
        ("x-consumer-timeout", 0, "consumer_timeout_ms", 0),
        (
            "x-consumer-timeout-action",
            "dead-letter",
            "consumer_timeout_action",
            TimeoutAction.DEAD_LETTER,
        ),
        ("x-lease-renew", "connection", "lease_renewal", LeaseRenewal.CONNECTION),
        ("x-lease-max", 1, "lease_max_ms", 1),
    ],
)
def test_a_consumer_has_terms_as_a_queue_has(
    key: str, value: object, field: str, expected: object
) -> None:
    for parsed in (
        parse_consumer_arguments({key: value}, "q", "/"),
        parse_queue_arguments({key: value}, "q", "/"),
    ):
        assert getattr(parsed, field) == expected


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"x-priority": "1"},
            "invalid arg 'x-priority' for queue 'q' in vhost '/': "
            '"expected integer, got longstr"',
        ),
        (
            {"x-consumer-timeout": -1},
            "invalid arg 'x-consumer-timeout' for queue 'q' in vhost '/': "
            "{value_negative,-1}",
        ),
        (
            {"x-stream-offset": "first"},
            "invalid arg 'x-stream-offset' for queue 'q' in vhost '/'"
            " of queue type rabbit_classic_queue",
        ),
    ],
)
def test_consumer_arguments_that_are_refused(
    arguments: dict[str, object], text: str
) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        parse_consumer_arguments(arguments, "q", "/")
    assert caught.value.text == text
