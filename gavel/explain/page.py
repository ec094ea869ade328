"""Facts as one HTML page: nothing is fetched, nothing runs, and all that strangers wrote is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

from gavel.demo.record import Evidence
from gavel.explain.facts import Facts, Level
from gavel.explain.sent import SentMove
from gavel.explain.style import STYLE
from gavel.scenarios.decision import Leaf
from gavel.summary import duration, moment
from protocol.amounts import amount
from protocol.chain.agent import describe
from protocol.game.view import DisputeStatus, UpdateStatus

MOST_CELLS: Final = 128
"""Children of a list that are drawn one by one; longer lists are drawn as a bar."""

_HEAD: Final = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta name="referrer" content="no-referrer">'
)


def page(facts: Facts) -> str:
    """Return the whole page."""
    title = f"Dispute {facts.dispute.dispute.hex()[:12]}"
    parts = [
        _HEAD,
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>",
        f"<h1>{title} {_badge(facts)}</h1>",
        _summary(facts),
        _about(facts),
        "<h2>The way down to the difference</h2>",
        _path(facts),
        _word(facts.found) if facts.found is not None else "",
        _waiting(facts),
        "<h2>What was sent</h2>",
        _moves(facts),
        "<h2>Who was paid</h2>",
        _money(facts),
        _footer(),
        "</main></body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _badge(facts: Facts) -> str:
    status = facts.dispute.status
    if status == DisputeStatus.OPEN:
        return '<span class="badge">open</span>'
    if status == DisputeStatus.LOST:
        return '<span class="badge right">the challenger lost</span>'
    fell = facts.update.status == UpdateStatus.FALLEN
    return f'<span class="badge wrong">{"the update fell" if fell else "closed"}</span>'


def _summary(facts: Facts) -> str:
    segment = facts.dispute.segment + 1
    steps = facts.folder.job.geometry.steps_of(facts.dispute.segment)
    last = facts.update.first_segment + facts.update.segments
    claim = (
        f"A trainer posted the states after segments {facts.update.first_segment + 1} to {last} of a "
        f"training, with a bond. A challenger who repeated the work says that segment {segment}, {steps} "
        "steps, does not end in the posted state."
    )
    told = [claim]
    decided = facts.decision
    if decided is None:
        told.append("The two are still narrowing down where they differ; nothing is decided yet.")
    elif decided.leaf == Leaf.TIMEOUT:
        told.append("The challenger did not move in time, so it lost its bond. No arithmetic was judged.")
    elif not decided.proven:
        told.append("The trainer's side did not answer in time; no arithmetic had to be judged.")
    elif facts.dispute.status == DisputeStatus.LOST:
        told.append(
            "The contract repeated what was pointed at and found it right, so the challenger lost its bond."
        )
    else:
        told.append(
            f"They narrowed it down to {_leaf(decided.leaf)}. The contract repeated that alone, from numbers "
            "that the trainer itself had committed to, and got something else: what was posted is wrong."
        )
    return "".join(f'<p class="lead">{escape(line)}</p>' for line in told)


def _leaf(leaf: Leaf) -> str:
    return {
        Leaf.RANGE: "a few terms of one sum",
        Leaf.WORD: "one number",
        Leaf.LINK: "one slot of the state, which has to be the output of one node",
        Leaf.ZERO_WORD: "a word past the end of a tensor, which has to be zero",
        Leaf.ZERO_PAGE: "a page past the end of a tensor, where there is none",
        Leaf.ABSENT_PAGE: "a page that was left out",
        Leaf.ZERO_SLOT: "a slot past the last one of the state, where there is none",
    }[leaf]


def _about(facts: Facts) -> str:
    rows = [
        ("job", f"<code>{facts.folder.job.job_id.hex()}</code>"),
        ("update", f"<code>{facts.update.update.hex()}</code>, {facts.update.status.value}"),
        ("dispute", f"<code>{facts.dispute.dispute.hex()}</code>"),
        ("trainer", _address(facts.update.trainer)),
        ("challenger", _address(facts.dispute.challenger)),
        ("chain", f"{facts.chain_id}, as of {escape(moment(facts.now))}"),
    ]
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows) + "</dl>"


def _address(account: bytes) -> str:
    return f"<code>0x{account.hex()}</code>"


# -------------------------------------------------------------------- the way down


def _path(facts: Facts) -> str:
    if not facts.levels:
        return '<p class="soft">Nothing was selected.</p>'
    told = (
        "<p class=\"soft\">The trainer's side committed to each list. Green agrees with the challenger's "
        "own computation, red is the first entry that does not; nothing is said of what comes after it.</p>"
    )
    inner = ""
    for number, level in reversed(list(enumerate(facts.levels))):
        last = number == len(facts.levels) - 1
        inner = _level(level, last=last, inner=_decided(facts) if last else inner)
    return told + inner


def _level(level: Level, *, last: bool, inner: str) -> str:
    digest = f' <code class="soft">{level.digest.hex()[:16]}…</code>' if level.digest else ""
    return (
        f'<div class="level{" last" if last else ""}"><div class="what">{escape(level.title)}: '
        f"{level.children:,} entries, number {level.index + 1:,} chosen</div>{_strip(level)}"
        f'<div class="chosen">{escape(level.chosen)}{digest}</div>{inner}</div>'
    )


def _strip(level: Level) -> str:
    label = f"entry {level.index + 1} of {level.children}"
    if level.children <= MOST_CELLS:
        cells = "".join(f"<i{_cell(index, level.index)}></i>" for index in range(level.children))
        return f'<div class="strip" role="img" aria-label="{label}">{cells}</div>'
    at = 100 * level.index / level.children
    width = 100 / level.children
    return (
        f'<div class="bar" role="img" aria-label="{label}">'
        f'<b style="width:{at:.3f}%"></b><i style="left:{at:.3f}%;width:{width:.3f}%"></i></div>'
    )


def _cell(index: int, chosen: int) -> str:
    return ' class="same"' if index < chosen else ' class="bad"' if index == chosen else ""


def _decided(facts: Facts) -> str:
    found, decided = facts.found, facts.decision
    if decided is None:
        return ""
    lines = []
    if found is not None and found.label is not None:
        lines.append(f"node {found.node}: {found.label} (operator, line of the user's code)")
    if found is not None and found.element is not None:
        lines.append(f"element [{', '.join(map(str, found.element))}] of its output")
    if found is not None and found.range is not None and found.terms is not None:
        lines.append(
            f"range {found.range} of {found.ranges}: terms {found.terms[0]} to {found.terms[1]} of the sum "
            "that this element is"
        )
    if found is not None and found.slot is not None:
        lines.append(f"slot {found.slot}: {found.slot_name or 'past the last one'}")
    return "".join(f"<div>{escape(line)}</div>" for line in lines)


# -------------------------------------------------------------------- the word


def _word(found: Evidence) -> str:
    if found.posted_bits is not None and found.right_bits is not None:
        posted, right = int(found.posted_bits, 16), int(found.right_bits, 16)
        differ = (posted ^ right).bit_count()
        return (
            "<h2>The number in dispute</h2>"
            f"<p>{differ} of 32 bits differ. The rules leave one right value: the exact result, rounded once "
            "to binary32.</p>"
            '<div class="scroll"><table><tr><th></th><th><span class="bits head">'
            f"{_heads()}</span></th><th>bits</th><th>value</th></tr>"
            f"{_bit_row('posted', 'wrongtext', posted, right, found.posted)}"
            f"{_bit_row('right', 'righttext', right, posted, found.right)}</table></div>"
        )
    if found.posted_hash is not None and found.right_hash is not None:
        return (
            "<h2>What was committed</h2><dl>"
            f'<dt>posted</dt><dd class="mono wrongtext">{escape(found.posted_hash)}</dd>'
            f'<dt>right</dt><dd class="mono righttext">{escape(found.right_hash)}</dd></dl>'
        )
    return ""


def _heads() -> str:
    sign, exponent, fraction = "±", "exponent", "fraction"
    cells = [sign, "", *exponent, "", *fraction.ljust(23)]
    return "".join(f'<span class="{"gap" if not c else ""}">{escape(c) or ""}</span>' for c in cells)


def _bit_row(name: str, kind: str, word: int, other: int, value: float | None) -> str:
    cells = []
    for bit in range(31, -1, -1):
        differs = (word ^ other) >> bit & 1
        cells.append(f"<span{' class=diff' if differs else ''}>{word >> bit & 1}</span>")
        if bit in (31, 23):
            cells.append('<span class="gap"></span>')
    shown = "" if value is None else f"{value:.9g}"
    return (
        f'<tr><td class="{kind}">{name}</td><td><span class="bits">{"".join(cells)}</span></td>'
        f'<td><code>0x{word:08x}</code></td><td class="value {kind}">{escape(shown)}</td></tr>'
    )


# -------------------------------------------------------------------- moves and money


def _waiting(facts: Facts) -> str:
    if not facts.awaited:
        return ""
    rows = []
    for move in facts.awaited:
        left = f"within {duration(max(move.limit - facts.now, 0))}" if move.limit else "at any time"
        rows.append(f"<dt>{move.side.value}</dt><dd>{escape(move.move)}, {left}</dd>")
    return "<h2>What it waits for</h2><dl>" + "".join(rows) + "</dl>"


def _moves(facts: Facts) -> str:
    began = facts.moves[0].time if facts.moves else 0
    rows = [_move(facts, number, sent, began) for number, sent in enumerate(facts.moves, 1)]
    gas, data = sum(sent.gas for sent in facts.moves), sum(sent.calldata for sent in facts.moves)
    paid = sum(sent.gas * sent.price for sent in facts.moves)
    rows.append(
        f'<tr class="sum"><td colspan="3"></td><td>{len(facts.moves)} transactions, {paid:,} wei for gas</td>'
        f'<td class="n">{data:,} B</td><td class="n">{gas:,}</td></tr>'
    )
    return (
        '<div class="scroll"><table><tr><th class="n">#</th><th>after</th><th>who</th><th>move</th>'
        '<th class="n">calldata</th><th class="n">gas</th></tr>'
        + "".join(rows)
        + "</table></div>"
        + (f'<p class="soft">The first was mined {escape(moment(began))}.</p>' if facts.moves else "")
    )


def _move(facts: Facts, number: int, sent: SentMove, began: int) -> str:
    what = describe(sent.move) if sent.move is not None else "a call through another contract"
    after = duration(sent.time - began) if sent.time > began else "0"
    return (
        f'<tr><td class="n">{number}</td><td>{after}</td><td>{_who(facts, sent.sender)}</td>'
        f'<td>{escape(what)}<br><code class="soft">0x{sent.tx_hash.hex()[:16]}…</code> '
        f'<span class="soft">block {sent.block:,}</span></td>'
        f'<td class="n">{sent.calldata:,} B</td><td class="n">{sent.gas:,}</td></tr>'
    )


def _who(facts: Facts, account: bytes) -> str:
    name = facts.names.get(account)
    if name is None:
        return f'<span class="who mono">0x{account.hex()[:8]}…</span>'
    return f'<span class="who {name}">{name}</span>'


def _money(facts: Facts) -> str:
    money = facts.folder.job.money
    bonds = (
        f"<p>The update had a bond of {_tokens(money.update_bond)} tokens, the dispute one of "
        f"{_tokens(money.challenge_bond)}, in the token's smallest unit. Part of every lost bond is burned, "
        "so that nobody gains by losing to himself.</p>"
    )
    if not facts.payments:
        return bonds + '<p class="soft">No bond was lost so far.</p>'
    rows = (
        f"<tr><td>{_who(facts, paid.to)}</td><td>{escape(paid.what)}</td>"
        f'<td class="n">{_tokens(paid.amount)}</td></tr>'
        for paid in facts.payments
    )
    return bonds + _table(("to", "what for"), ("tokens",), rows)


def _table(heads: Iterable[str], numbers: Iterable[str], rows: Iterable[str]) -> str:
    cells = "".join(f"<th>{h}</th>" for h in heads) + "".join(f'<th class="n">{h}</th>' for h in numbers)
    return f'<div class="scroll"><table><tr>{cells}</tr>{"".join(rows)}</table></div>'


def _tokens(value: int) -> str:
    return escape(amount(value))


def _footer() -> str:
    return (
        "<footer>Made by <code>gavel explain</code> from what the chain holds and from an own replay. "
        "Everything here can be checked again with the job's folder and a node.</footer>"
    )
