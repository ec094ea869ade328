"""The demo on a terminal: what happens while it happens, then the evidence, the gas and the balances."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from gavel.demo.record import Evidence, Report
from gavel.demo.story import Narrator
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


def show(console: Console, report: Report) -> None:
    """Print the outcome of the story."""
    console.rule("[bold]What was proven")
    console.print(_tree(report.evidence))
    console.print(_bits(report.evidence))
    console.print(_gas(report))
    console.print(_balances(report))
    verdict, dispute = report.verdict, report.dispute
    console.print(
        f"The {verdict.winner} was paid {_tokens(verdict.to_winner)} BOND from a bond of "
        f"{_tokens(verdict.bond)}; {_tokens(verdict.burned)} burned, {_tokens(verdict.to_requester)} to the "
        f"requester, {_tokens(verdict.tip)} to who settled. The update is {verdict.status}, "
        f"{verdict.void} built on it void.",
        highlight=False,
    )
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


def _tree(evidence: Evidence) -> Tree:
    tree = Tree(f"[bold]segment {evidence.segment}[/]: its last state is not what a replay gives")
    step = tree.add(
        f"step {evidence.step} (counted from 0): the first state that differs is the one after it"
    )
    node = step.add(
        f"node {evidence.node}: [bold]{escape(evidence.label)}[/] (operator, line of the user's code) writes "
        "the first output that differs"
    )
    page = node.add(f"page {evidence.page}: the first 64 words that differ")
    place = ", ".join(str(i) for i in evidence.element)
    word = page.add(f"word {evidence.word}: element \\[{place}]")
    first, last = evidence.terms
    word.add(
        f"[bold red]range {evidence.range} of {evidence.ranges}[/]: terms {first} to {last} of the sum; the "
        "contract added them to the accepted prefix and got another accumulator"
    )
    return tree


def _bits(evidence: Evidence) -> Table:
    table = Table("", "bits", "binary32 value", title="The word in dispute")
    table.add_row("posted", f"[red]{evidence.posted_bits}[/]", f"{evidence.posted:.9g}")
    table.add_row("right", f"[green]{evidence.right_bits}[/]", f"{evidence.right:.9g}")
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
