"""Coroutines among the tests, LangChain's own included, are run by pytest-asyncio without a mark on each."""

import inspect

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if inspect.iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(pytest.mark.asyncio)
