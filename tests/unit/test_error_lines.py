"""ERROR means that an operator must act (errors.md, E-5): each such line is in the table, with what to do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

LINES = {
    "protocol/chain/agent.py Agent.trouble": "CANNOT DECIDE",
    "protocol/chain/agent.py Agent.send": "*move*",
    "protocol/chain/agent.py Agent.compare_nodes": "NODES DISAGREE",
    "protocol/chain/agent.py Node.failed": "*node's error*",
    "protocol/chain/agent.py Node.answered": "STALE NODE",
    "protocol/chain/nodes.py Nodes._compare": "NODES DISAGREE",
    "protocol/chain/sender.py Sender._insist": "pending, at the limit of fees",
    "gavel/monitor/forecast.py _error": "THE CHAIN DISAGREES",
    "prover/answers.py Answers._tell_missing": "a page is demanded",
    "prover/guard.py Guard.send": "HELD BACK",
    "prover/training.py TrainingAgent.trouble": "NOT TRAINING",
    "challenger/agent.py Watcher.send": "HELD BACK",
    "challenger/agent.py Watcher._tell": "own dispute lost",
    "challenger/agent.py Watcher._tell_update": "FINAL THOUGH WRONG",
    "challenger/agent.py Watcher._tell_late": "cannot be compared before",
    "challenger/apart.py Apart.settle": "CANNOT BE PLAYED",
    "challenger/claims.py Claims._found": "MISCALCULATED",
    "challenger/claims.py Claims.distrust": "NOT BELIEVED",
    "challenger/ledger.py Ledger.check_means": "could not dispute",
    "challenger/pace.py judge": "CANNOT KEEP UP",
    "challenger/parallel.py Pool._given_up": "processes failed",
    "challenger/replay.py Replay._compare": "WRONG, and the update is final",
}
"""Where a line of level ERROR may come from, and the row of the table that is about it."""

ALSO = {"wrong and cannot be disputed", "was not compared before"}
"""Rows about further lines of these places."""


def _places() -> Iterator[str]:
    for root in ("protocol", "prover", "challenger", "gavel"):
        for path in sorted((ROOT / root).rglob("*.py")):
            yield from (
                f"{path.relative_to(ROOT)} {name}" for name in _named(ast.parse(path.read_text()), "")
            )


def _named(node: ast.AST, name: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        inner = name
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inner = f"{name}.{child.name}".lstrip(".")
        if _is_error(child):
            yield name
        yield from _named(child, inner)


def _is_error(node: ast.AST) -> bool:
    """Whether a node names the level: ``level="error"``, or a variable `level` that may be it."""
    if (isinstance(node, ast.keyword) and node.arg == "level") or (
        isinstance(node, ast.Assign)
        and any(isinstance(t, ast.Name) and t.id == "level" for t in node.targets)
    ):
        value = node.value
    else:
        return False
    if isinstance(value, ast.IfExp):
        return any(isinstance(v, ast.Constant) and v.value == "error" for v in (value.body, value.orelse))
    return isinstance(value, ast.Constant) and value.value == "error"


def test_every_error_line_says_what_an_operator_does() -> None:
    quote = {"gavel/quote.py judge.say"}  # findings of a command that ends, on the terminal
    places = set(_places()) - quote
    assert places == set(LINES)
    text = (ROOT / "specs" / "errors.md").read_text().partition("**E-5")[2]
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", text, re.MULTILINE)[1:]
    assert all(action.strip() for _, _, action in rows)
    wanted = {*LINES.values(), *ALSO}
    for words in wanted:
        assert any(words in row[0] for row in rows), words
    for row in rows:
        assert any(words in row[0] for words in wanted), row
