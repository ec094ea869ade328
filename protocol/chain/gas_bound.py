"""Gas that one side of a worst-case dispute needs, from the committed snapshot (money.md, M-11)."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from protocol.chain.artifacts import CONTRACTS
from protocol.errors import MalformedError
from protocol.files import read_file

SNAPSHOT: Final = CONTRACTS / "snapshots" / "gas.txt"

LONGEST_DISPUTE: Final = 21
"""Transactions of the longest dispute of the preset ``full`` with its reservation (D-18)."""

DEAREST_PROOF: Final = 8_000_000
"""Gas that no proof exceeds (P-12)."""

_MILLION: Final = 1_000_000
_SELECTS: Final = ("select", "select_step", "select_word")
_ANSWERS: Final = ("commit", "reveal", "reveal_page")


def side_gas(snapshot: str, *, transactions: int = LONGEST_DISPUTE) -> int:
    """Return the gas of the side of a dispute that needs more of it (M-11).

    Args:
        snapshot: text of contracts_vyper/snapshots/gas.txt, whose second table is a dispute of the preset
            ``full``.
        transactions: from `reserve` to `settle` (D-17).

    Raises:
        MalformedError: a move is not in the snapshot.
    """
    tables = snapshot.split("\n# ")
    gas: dict[str, int] = {}
    for name, figure in re.findall(r"^(\w+) +(\d+)$", tables[-1], flags=re.MULTILINE):
        gas[name] = max(gas.get(name, 0), int(figure))
    missing = [n for n in ("reserve", "open", "settle", *_SELECTS, *_ANSWERS) if n not in gas]
    if missing:
        raise MalformedError(
            f"the snapshot of gas has no figure of {', '.join(missing)}; make it anew with `make snapshots`"
        )
    levels = (transactions - 3) // 2
    selects = (levels - 1) * max(gas[name] for name in _SELECTS)
    challenger = gas["reserve"] + gas["open"] + selects + DEAREST_PROOF + gas["settle"]
    defender = levels * max(gas[name] for name in _ANSWERS)
    return max(challenger, defender)


@cache
def least_scheduled_gas() -> int:
    """Return the least scheduled gas of a deployment: what the snapshot says, in whole millions (M-11).

    Raises:
        MalformedError: the snapshot is not what it should be; StorageError: it cannot be read.
    """
    needed = side_gas(read_file(SNAPSHOT, limit=1 << 20).decode())
    return -(-needed // _MILLION) * _MILLION
