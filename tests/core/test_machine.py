"""The core does what the model does, whatever is done to it."""

from __future__ import annotations

from hypothesis import settings

from tests.core.machine import BrokerMachine

TestBrokerMachine = BrokerMachine.TestCase
TestBrokerMachine.settings = settings(max_examples=300, stateful_step_count=60)
