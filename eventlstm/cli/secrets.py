"""What commands say without the passwords that were typed: wherever a URL went by mistake, its user is not repeated."""

from __future__ import annotations

import re

# Of a URL, also of one that was taken for a path, which has made one slash of two.
USER = re.compile(r"([A-Za-z][\w+.-]+:)/{1,2}\S*@")
OPTIONS = re.compile(r"([A-Za-z][\w+.-]+:/{1,2}[^\s?]*)\?\S*")


def hide_users(text: str) -> str:
    """Return a text without the users, passwords and options of URLs in it."""
    return OPTIONS.sub(r"\1", USER.sub(r"\1//***@", text))
