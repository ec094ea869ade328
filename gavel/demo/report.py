"""The demo on a terminal: what happens while it happens, then the evidence, the gas and the balances."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from gavel.demo.record import Evidence, Report, Verdict
from gavel.demo.story import NO_PLACE, Narrator
from gavel.scenarios.cheats import CHEATS, DEFAULT
from prover.trainer import Segment

_STYLES = {
    "watcher": "cyan",
    "cheating trainer": "red",
    "first trainer": "green",
    "second trainer": "green",
    "requester": "magenta",
}


class Screen(Narrator):
    """Tells the story line by line."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def chapter(self, title: str) -> None:
        """Print a rule with the title."""
        self._console.rule(f"[bold]{title}")

    def say(self, who: str, line: str) -> None:
        """Print one line with the actor's name."""
        style = _STYLES.get(who, "dim")
        self._console.print(f"[{style}]{who:>17}[/]  {escape(line)}", highlight=False)

    def trained(self, who: str, segment: Segment) -> None:
        """Print the mean loss of a segment."""
        mean = sum(segment.losses) / len(segment.losses)
        self.say(
            who,
            f"segment {segment.number + 1:2d}: mean loss {mean:6.4f}, state {segment.root.hex()[:12]}, "
            f"{segment.seconds:.2f} s",
        )


def cheats() -> Table:
    """The cheats that the demo can be told with."""
    table = Table("name", "what the trainer does", "what decides", title="gavel demo --cheat NAME")
    for name, cheat in CHEATS.items():
        if name in NO_PLACE:
            continue
        decides = "nothing: no fault"
        if cheat.decides is not None:
            level, leaf = cheat.decides
            decides = f"{leaf.value} ({level.name})"
        table.add_row(f"{name} (default)" if name == DEFAULT else name, cheat.text, decides)
    return table


def show(console: Console, report: Report) -> None:
    """Print the outcome of the story."""
    if report.evidence is None or report.verdict is None:
        console.rule("[bold]Nothing to prove")
        console.print(
            f"In step {report.cheat.step} there was {escape(report.cheat.text)}. Every state that was posted "
            "is right, so the watcher left the update alone (A-3), and its trainer was paid.",
            highlight=False,
        )
    else:
        console.rule("[bold]What was proven")
        console.print(_tree(report.evidence))
        if report.evidence.posted_bits or report.evidence.posted_hash:
            console.print(_posted(report.evidence))
        console.print(_gas(report))
    console.print(_balances(report))
    if report.verdict is not None:
        console.print(_paid(report.verdict), highlight=False)
    dispute = report.dispute
    console.print(
        f"[bold]{dispute['transactions']} transactions, {dispute['gas']:,} gas[/] for the dispute; "
        f"test accuracy of the finished model [bold]{report.accuracy:.1%}[/]; "
        f"{sum(report.seconds.values()):.0f} s in all.",
        highlight=False,
    )
    console.print(
        "[dim]Proven, to the requester: the final state is, bit for bit, what the committed program, data, "
        "seed and initial state give, as long as one honest watcher followed the job and could reach the "
        "chain in time. Not proven: that the data is good, that the model is useful, that anyone watched.[/]",
        highlight=False,
    )


def _paid(verdict: Verdict) -> str:
    return (
        f"The {verdict.winner} was paid {_tokens(verdict.to_winner)} BOND from a bond of "
        f"{_tokens(verdict.bond)}; {_tokens(verdict.burned)} burned, {_tokens(verdict.to_requester)} to the "
        f"requester, {_tokens(verdict.tip)} to who settled. The update is {verdict.status}, "
        f"{verdict.void} built on it void."
    )


_UNANSWERED = {
    "STEPS": "the states within the segment",
    "NODES": "the outputs of the step's nodes",
    "TENSOR": "the pages of the output that differs",
    "PAGE": "the words of the page that differs",
    "STATE": "the slots of the state after the step",
    "FOLD": "the partial sums of the word that differs",
}


def _tree(found: Evidence) -> Tree:
    tree = Tree(f"[bold]segment {found.segment}[/]: its last state is not what a replay gives")
    place = tree
    if found.step is not None:
        place = place.add(
            f"step {found.step} (counted from 0): the first state that differs is the one after it"
        )
    if found.node is not None:
        place = place.add(
            f"node {found.node}: [bold]{escape(found.label or '')}[/] (operator, line of the user's code) "
            "writes the first output that differs"
        )
    if found.word is not None:
        place = place.add(f"page {found.page}: the first 64 words that differ")
    place.add(_leaf(found) if found.range is None else _word(found).strip())
    if found.range is not None and found.terms is not None:
        place.children[-1].add(
            f"[bold red]range {found.range} of {found.ranges}[/]: terms {found.terms[0]} to {found.terms[1]} "
            "of the sum; the contract added them to the accepted prefix and got another accumulator"
        )
    return tree


def _word(found: Evidence) -> str:
    element = ", ".join(str(i) for i in found.element or ())
    return f"word {found.word}: element \\[{element}]"


def _leaf(found: Evidence) -> str:
    """What decided, for leaves other than a range."""
    match found.leaf:
        case "word":
            return (
                f"[bold red]{_word(found)}[/]; the contract computed it from its operands and got another one"
            )
        case "zero word":
            return f"[bold red]word {found.word}[/]: past the end of the tensor, where every word is zero"
        case "zero page":
            return f"[bold red]page {found.page}[/]: past the end of the tensor, where there is none"
        case "absent page":
            return f"[bold red]page {found.page}[/]: within the tensor, and left out"
        case "link":
            return (
                f"[bold red]slot {found.slot}, {escape(found.slot_name or '')}[/]: all outputs are right, "
                "but this slot of the next state is not the output of the node that the link table names"
            )
        case "zero slot":
            return f"[bold red]slot {found.slot}[/]: past the last slot of the state, where there is none"
        case "no commitment":
            return f"[bold red]no answer[/]: nobody committed to {_UNANSWERED[found.level]} in time"
        case _:
            return f"[bold red]no answer[/]: {_UNANSWERED[found.level]} were not revealed in time"


def _posted(found: Evidence) -> Table:
    if found.posted_bits is not None:
        table = Table("", "bits", "binary32 value", title="The word in dispute")
        table.add_row("posted", f"[red]{found.posted_bits}[/]", f"{found.posted:.9g}")
        table.add_row("right", f"[green]{found.right_bits}[/]", f"{found.right:.9g}")
        return table
    table = Table("", "root" if found.slot is not None else "hash", title="What was committed")
    table.add_row("posted", f"[red]{found.posted_hash}[/]")
    table.add_row("right", f"[green]{found.right_hash}[/]")
    return table


def _gas(report: Report) -> Table:
    table = Table("", "sent by", "move", title="The dispute, transaction by transaction")
    table.add_column("calldata", justify="right")
    table.add_column("gas", justify="right")
    for number, sent in enumerate(report.dispute["each"], 1):
        table.add_row(str(number), sent["who"], sent["what"], f"{sent['calldata']:,} B", f"{sent['gas']:,}")
    table.add_section()
    table.add_row("", "", "total", "", f"{report.dispute['gas']:,}")
    return table


def _balances(report: Report) -> Table:
    table = Table("", title="Bond tokens")
    for column in ("before", "after", "change"):
        table.add_column(column, justify="right")
    for who, balance in report.balances.items():
        change = balance["after"] - balance["before"]
        colour = "red" if change < 0 else "green"
        table.add_row(
            who,
            _tokens(balance["before"]),
            _tokens(balance["after"]),
            f"[{colour}]{change / 10**18:+,.2f}[/]",
        )
    return table


def _tokens(amount: int) -> str:
    return f"{amount / 10**18:,.2f}"
