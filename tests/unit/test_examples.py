"""examples/: what operators copy is what the commands take and what is served."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gavel.cli import cli
from gavel.metrics.meter import AMOUNTS, LEVELS
from gavel.metrics.names import METRICS, Kind
from gavel.selection import Criteria

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
UNITS = sorted(EXAMPLES.glob("*.service"))
FUNCTIONS = {"sum", "min", "max", "by", "rate", "increase", "time", "histogram_quantile"}
SERVED = {name: metric for metric in METRICS for name in metric.samples()}
ALWAYS = {"instance"}
"""Labels that Prometheus adds."""


def _queries() -> list[str]:
    board = json.loads((EXAMPLES / "grafana.json").read_text())
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def _parts(expression: str) -> tuple[set[str], set[str], dict[str, set[str]]]:
    """Metric names, labels grouped by, and labels matched with the values named for them."""
    grouped = {
        label.strip() for found in re.findall(r"by \(([^)]*)\)", expression) for label in found.split(",")
    }
    matched: dict[str, set[str]] = {}
    for inside in re.findall(r"\{([^}]*)\}", expression):
        for label, values in re.findall(r'(\w+)=~?"([^"]*)"', inside):
            matched.setdefault(label, set()).update(values.split("|"))
    bare = re.sub(r"by \([^)]*\)|\{[^}]*\}|\[[^\]]*\]|\d[\d.e]*", " ", expression)
    return set(re.findall(r"[a-z_]\w*", bare)) - FUNCTIONS, grouped, matched


@pytest.mark.parametrize("expression", _queries())
def test_the_dashboard_asks_for_what_is_served(expression: str) -> None:
    names, grouped, matched = _parts(expression)
    assert names
    assert names <= set(SERVED), names - set(SERVED)
    for name in names:
        metric = SERVED[name]
        labels = set(metric.labels) | ALWAYS | ({"le"} if name.endswith("_bucket") else set())
        assert grouped <= labels, (name, grouped - labels)
        assert set(matched) <= labels
        counts = metric.kind == Kind.COUNTER or name != metric.name
        assert counts == bool(re.search(rf"(rate|increase)\({name}\b", expression)), name


def test_every_metric_is_on_the_dashboard() -> None:
    asked = {SERVED[name].name for expression in _queries() for name in _parts(expression)[0]}
    assert asked == {metric.name for metric in METRICS}


def test_values_that_are_matched_are_values_that_there_are() -> None:
    values = {label: found for e in _queries() for label, found in _parts(e)[2].items()}
    assert values["kind"] <= set(AMOUNTS)
    assert values["level"] <= set(LEVELS)


def test_the_criteria_are_read() -> None:
    read = Criteria.load(EXAMPLES / "select.toml")
    assert read.min_bounty == 10**18
    assert read.max_segment_seconds == 60


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_give_options_that_the_commands_have(path: Path) -> None:
    text = path.read_text()
    environment = dict(
        line.split("=", 1)
        for line in (EXAMPLES / "watch.env").read_text().splitlines()
        if line and not line.startswith("#")
    )
    [line] = re.findall(r"^ExecStart=/usr/bin/env gavel (.*)$", text, re.MULTILINE)
    for name, value in environment.items():
        line = line.replace(f"${{{name}}}", value).replace(f"${name}", value)
    assert "$" not in line.replace("${CREDENTIALS_DIRECTORY}", "")
    command, *arguments = line.split()
    arguments += ["--rpc", environment["GAVEL_RPC"]]
    with cli.make_context("gavel", [command]) as above:
        made = cli.commands[command].make_context(command, arguments, parent=above)
        assert made.params["metrics"] in ("9464", "9465")
    assert ("LoadCredential" in text) == (command == "watch")
    for right in ("NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=\n"):
        assert right in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_takes_the_units(path: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if path.name in line]
    assert (done.returncode, said) == (0, [])
