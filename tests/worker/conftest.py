"""The broker that the client's tests have: Warren's, or one that runs already."""

from __future__ import annotations

from tests.client.conftest import name, url

__all__ = ["name", "url"]
