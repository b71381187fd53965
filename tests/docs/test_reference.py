"""The pages that are made of the code are what the code says now."""

from __future__ import annotations

import re

from docs.reference import PAGE, configuration
from warren_broker.cli.serve import OPTIONS, serve
from warren_broker.config import load_config

NOT_SETTINGS = {"path"}
"""Options of the command that are in no file: the file."""


def test_the_configuration_page_is_up_to_date() -> None:
    assert PAGE.read_text() == configuration(), "`make docs` writes it"


def test_every_option_of_the_command_is_a_setting() -> None:
    assert {option.name for option in serve.params} == OPTIONS.keys() | NOT_SETTINGS


def test_the_variables_on_the_page_are_read() -> None:
    """What is no word for a number is refused, so somebody has read it."""
    variables = re.findall(r"`(WARREN_LIMITS_\w+)`", PAGE.read_text())
    config = load_config(None, dict.fromkeys(variables, "9000"))
    assert variables
    assert {getattr(config.limits, name[14:].lower()) for name in variables} == {9000}
