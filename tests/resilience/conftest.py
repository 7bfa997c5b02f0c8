"""Names for tables that no other test has."""

import itertools
import os

import pytest

_numbers = itertools.count()


@pytest.fixture
def table_name():
    return f"test-{os.getpid()}-{next(_numbers)}"
