"""What a job is, in words and numbers for people: before it is paid for, and whenever its folder is shown."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from typing import Final

from gavel.jobs import OPTIMIZER_PREFIX
from protocol.amounts import amount
from protocol.game import bounds
from protocol.job import ANYBODY, NOBODY, Geometry
from protocol.job_folder import JobFolder
from protocol.numerics.opcodes import Fold

UNNAMED: Final = "other"
_LINE: Final = re.compile(r" \S+:\d+$")
_UNITS: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
_WORD_BYTES: Final = 4

Rows = list[tuple[str, str]]


def duration(seconds: int) -> str:
    """Write seconds in the two largest units that they fill, such as ``2 days 4 hours``."""
    parts = []
    for unit, name in _UNITS:
        count, seconds = divmod(seconds, unit)
        if count:
            parts.append(f"{count:,} {name}{'s' if count != 1 else ''}")
    return " ".join(parts[:2]) or "0 seconds"


def moment(timestamp: int) -> str:
    """Write a block's timestamp as a date and time in UTC; far beyond the calendar, as seconds."""
    try:
        return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{timestamp:,} seconds after 1970"


def program_rows(folder: JobFolder) -> Rows:
    """Rows about what was captured: what and value."""
    program, geometry, captured = folder.program, folder.job.geometry, folder.manifest
    slots = [(spec.extent, spec.name) for spec in program.slots]
    words = sum(extent for extent, _ in slots)
    own = sum(extent for extent, name in slots if not name.startswith(OPTIMIZER_PREFIX))
    kinds = Counter(_kind(node.fold) for node in program.nodes)
    operators = Counter(_LINE.sub("", label) or UNNAMED for label in program.labels)
    lists = bounds.longest_of(geometry, program)
    data = [s for s in program.inputs[1:] if s.name in {c["name"] for c in captured.get("columns", ())}]
    size = sum(spec.extent for spec in data) * _WORD_BYTES
    columns = ", ".join(f"{spec.name} {list(spec.shape[1:])} {spec.dtype}" for spec in data)
    size_of_state = _bytes(words * _WORD_BYTES)
    dispute = f"up to {lists.levels} levels, {lists.transactions} transactions and one to reserve"
    lasts = duration(bounds.dispute_seconds(folder.job.clocks, lists))
    return [
        ("nodes", f"{geometry.n_nodes:,}: " + _counted(kinds)),
        ("operators", _counted(operators)),
        ("loss", program.labels[program.loss] or UNNAMED),
        ("optimizer", str(captured.get("optimizer", "unknown"))),
        ("model", f"{own:,} words of parameters and buffers"),
        ("state", f"{words:,} words in {geometry.n_slots:,} slots, {size_of_state} a checkpoint"),
        ("data", f"{geometry.n_rows:,} rows, {_bytes(size)}: {columns}"),
        ("training", f"{geometry.steps:,} steps of {geometry.batch:,} rows, {_epochs(geometry)} epochs"),
        (
            "segments",
            f"{geometry.segments:,} of {geometry.stride:,} steps, up to {geometry.max_segments} an update",
        ),
        ("dispute", f"{dispute}; over within {lasts}; fan-out {1 << geometry.fanout_log2}"),
    ]


def terms_rows(folder: JobFolder, *, expiry: str | None = None) -> Rows:
    """Rows about money and clocks: what and value. Amounts are in the token's smallest unit.

    Args:
        expiry: what to say of it where the terms have none yet.
    """
    money, clocks, job = folder.job.money, folder.job.clocks, folder.job
    escrow = money.reward * job.geometry.segments
    moves = (
        f"{duration(clocks.response)}; a trace {duration(clocks.allowance)}; "
        f"reserve {duration(clocks.reserve)}; opening {duration(clocks.opening)}"
    )
    lost = f"bounty {amount(money.bounty)}, tip {amount(money.tip)}; {money.burn_bps / 100:g} % is burned"
    audit = job.audit
    demands = "nobody may demand pages of a state"
    if audit.auditor != NOBODY:
        # without an expiry of its own a job is not opened yet, and times count from then
        until = f"{duration(audit.demand_until)} after it is opened" if expiry else moment(audit.demand_until)
        who = "anybody" if audit.auditor == ANYBODY else f"0x{audit.auditor.hex()}"
        demands = f"by {who} until {until} for {amount(audit.demand_fee)} and more each; "
        demands += f"answered within {duration(audit.answer_time)}, or the update falls"
    return [
        ("you pay", f"{amount(escrow)}: {amount(money.reward)} for each segment"),
        (
            "trainer locks",
            f"{amount(money.update_bond)} an update, {amount(money.lease_deposit)} for the lease",
        ),
        ("challenger locks", f"{amount(money.challenge_bond)}; other defenders {amount(money.defence_bond)}"),
        ("who is wrong pays", lost),
        ("challenge window", f"{duration(clocks.window)}, and {duration(clocks.replay)} for each segment"),
        ("a move in a dispute", moves),
        ("demands for pages", demands),
        ("lease", f"{duration(clocks.lease)} without an update"),
        ("notice", duration(clocks.notice)),
        ("expires", expiry or moment(job.expiry)),
    ]


def identity_rows(folder: JobFolder) -> Rows:
    """Rows that say which job it is and where."""
    job = folder.job
    return [
        ("job", f"0x{job.job_id.hex()}"),
        ("requester", f"0x{job.requester.hex()}"),
        ("chain, board", f"{job.chain_id}, 0x{job.board.hex()}"),
        ("first state", f"0x{job.genesis.hex()}"),
    ]


def _kind(fold: int) -> str:
    return "words" if Fold(fold) is Fold.NONE else Fold(fold).name.lower().replace("_", " ")


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {name}" for name, n in sorted(counts.items(), key=lambda kv: (-kv[1], kv[0])))


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1_000:
            return f"{size:,.4g} {unit}"
        size /= 1_000
    return f"{size:,.4g} GB"


def _epochs(geometry: Geometry) -> str:
    return f"{geometry.steps * geometry.batch / geometry.n_rows:,.2f}"
