"""Claims."""
from typing import NamedTuple
class Paper(NamedTuple):
    """A source."""
    title: str
    authors: str
    year: int
    arxiv: str = ""
