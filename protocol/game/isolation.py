"""One branch's trouble is not another's (actors.md, A-8).

What a hostile party, a reorganisation or a fault of one's own makes undecidable in one place must not keep an
honest party from moving in all the others, where its bonds lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from protocol.errors import ChainError, GavelError

Report = Callable[[GavelError], None]
"""Told of the trouble; raises it, or returns to go on without what it came from."""


def raise_trouble(error: GavelError) -> None:
    """Go no further: for callers that want to see everything."""
    raise error


@contextmanager
def isolated(report: Report) -> Iterator[None]:
    """Report what goes wrong inside, and go on behind it.

    Raises:
        ChainError: a node that does not answer answers nowhere.
        GavelError: whatever `report` raises.
    """
    try:
        yield
    except ChainError:
        raise
    except GavelError as error:
        report(error)
