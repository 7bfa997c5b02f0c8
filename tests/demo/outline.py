"""What a sound page is, without a browser."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

VOID = {"meta"}


class Outline(HTMLParser):
    """Checks that every element is closed by its own tag, and collects what the page refers to."""

    def __init__(self):
        super().__init__()
        self.open, self.links, self.tags = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in {"href", "src"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def assert_sound(text):
    outline = Outline()
    outline.feed(text)
    outline.close()
    assert outline.open == []
    assert outline.links == []
    assert "script" not in outline.tags
    assert "url(" not in text
    assert "@import" not in text
    for drawing in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ET.fromstring(drawing)
        # A coordinate that is no number draws nothing, silently.
        assert not re.search(r'="[^"]*\b(nan|inf)\b', drawing)
    return outline
