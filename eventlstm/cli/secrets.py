"""What commands say without the passwords that were typed: wherever a URL went by mistake, its user is not repeated."""

from __future__ import annotations

import re

# Of a URL, also of one that was taken for a path, which has made one slash of two.
USER = re.compile(r":/{1,2}\S*@")
OPTIONS = re.compile(r"(:/{1,2}[^\s?]*)\?\S*")
MOST = 4000  # characters looked at: a message may hold a cell of megabytes, of which some hundred are shown


def hide_users(text: str) -> str:
    """Return a text without the users, passwords and options of URLs in it, its middle left out where it is long."""
    if len(text) > MOST:
        text = f"{text[: MOST // 2]}...{text[-MOST // 2 :]}"
    return OPTIONS.sub(r"\1", USER.sub("://***@", text))
