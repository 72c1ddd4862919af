"""Locations as they may be shown: a URL can carry a password."""

import re

CREDENTIALS = re.compile(r"""//[^/@\s"']*@""")


def shown(text: str) -> str:
    """A text without what stands before the @ of the URLs in it."""
    return CREDENTIALS.sub("//", text)
