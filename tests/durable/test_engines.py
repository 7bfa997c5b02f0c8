"""What a store's URL names."""

import os

import pytest

from penstock._durable.engines import Address
from penstock.errors import Misuse


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///jobs.db", "jobs.db"),
        ("sqlite:////var/lib/jobs.db", "/var/lib/jobs.db"),
        ("sqlite:///a%3Fb%23c%2541.db", "a?b#c%41.db"),
        ("sqlite:///a%FFb.db", os.fsdecode(b"a\xffb.db")),
    ],
)
def test_the_file_that_a_url_names(url, path):
    assert Address(url).path == path


@pytest.mark.parametrize("url", ["sqlite:///a?b.db", "sqlite:///a#b.db"])
def test_options_are_refused_and_how_such_a_name_is_written(url):
    with pytest.raises(Misuse, match="no options") as caught:
        Address(url)
    assert "%3F" in caught.value.hint
    assert "%23" in caught.value.hint
