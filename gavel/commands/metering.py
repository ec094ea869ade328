"""--metrics: what the commands that run for long share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from gavel.metrics.meter import Meter
    from protocol.chain.agent import Log
    from protocol.chain.court_view import ChainView
    from protocol.chain.deployment import Contracts

metrics_option: Final = click.option(
    "--metrics",
    metavar="[HOST:]PORT",
    default=None,
    help="Serve /metrics for Prometheus and /healthz there; on loopback unless a host is named.",
)


def start_metrics(
    place: str | None,
    *,
    contracts: Contracts,
    view: ChainView,
    account: bytes | None,
    log: Log,
    poll: float,
    everybody: bool = False,
) -> Meter | None:
    """Serve metrics until the command ends; None where nobody asked for them.

    Raises:
        UsageError: the place is none, or cannot be bound.
    """
    from gavel.metrics.health import Health
    from gavel.metrics.meter import Meter
    from gavel.metrics.names import Metrics
    from gavel.metrics.server import MetricsServer, read_place

    if place is None:
        return None
    metrics, health = Metrics(), Health(least=3 * poll)
    server = MetricsServer(metrics, health, read_place(place))
    click.get_current_context().call_on_close(server.close)
    log(f"serves metrics at {server.url}/metrics and its health at {server.url}/healthz")
    return Meter(
        contracts=contracts,
        view=view,
        metrics=metrics,
        health=health,
        account=account,
        log=log,
        everybody=everybody,
    )
