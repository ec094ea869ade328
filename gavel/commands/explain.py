"""`gavel explain`."""

from __future__ import annotations

from pathlib import Path

import click

from gavel.commands.shared import PATH, chain_options, connect, folder_argument, logger
from gavel.commands.stored import open_stores, stores_option, threads_option
from protocol.errors import UsageError


@click.command()
@click.argument("dispute", metavar="ID")
@folder_argument
@chain_options
@click.option("--out", type=PATH, default=None, help="File to write.  [default: dispute-ID.html]")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@stores_option
@threads_option
@click.option(
    "--replay/--no-replay",
    default=True,
    show_default=True,
    help="Replay the job up to the disputed segment, to say what is right; a --store may save most of it.",
)
def explain(
    dispute: str,
    folder: Path,
    rpc: str,
    deployment: Path,
    out: Path | None,
    force: bool,
    stores: tuple[str, ...],
    threads: int,
    replay: bool,
) -> None:
    """Write one self-contained HTML page about a dispute.

    ID is that of a dispute or of an update, or its first digits, as `gavel status` shows them; FOLDER is the
    job. The page needs nothing else: no network, no script, no gavel.
    """
    from gavel.explain.facts import facts_of, resolve
    from gavel.explain.page import page
    from gavel.explain.right import openings_of
    from protocol.chain.court_view import ChainView
    from protocol.files import written
    from protocol.job_folder import JobFolder

    log = logger("explain")
    loaded = JobFolder.load(folder)
    contracts = connect(rpc, deployment, None)
    contracts.verify(loaded.job)
    view = ChainView(contracts)
    events = view.refresh()
    found = resolve(view, dispute, loaded.job.job_id)
    path = out or Path(f"dispute-{found.dispute.hex()[:12]}.html")
    if path.exists() and not force:
        raise UsageError(f"{path} is there already; name another file with --out, or give --force")
    openings = None
    if replay:
        known = open_stores(loaded, folder, stores)
        openings = openings_of(
            loaded, view.update(found.update), found.segment, stores=known, threads=threads, log=log
        )
    facts = facts_of(contracts, view, events, found, folder=loaded, openings=openings)
    with written(path) as file:
        file.write(page(facts).encode())
    log(f"wrote {path}")
