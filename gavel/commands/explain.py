"""`gavel explain`."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click

from gavel.commands.shared import PATH, connect, deployment_option, logger, nodes_option
from gavel.commands.stored import open_stores, stores_option, threads_option
from protocol.errors import MismatchError, UsageError


@click.command()
@click.argument("dispute", metavar="[ID]", required=False)
@click.argument("folder", metavar="[FOLDER]", type=PATH, required=False)
@click.option(
    "--fixture",
    type=PATH,
    metavar="FILE",
    help="Explain the dispute of a fixture, such as specs/fixtures/disputes/softmax.json, replayed in this "
    "process: needs no chain and no FOLDER, and without an ID takes the dispute that decided.",
)
@nodes_option("JSON-RPC endpoint of the chain, also $GAVEL_RPC; may be repeated. Needed without --fixture.")
@deployment_option
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
    dispute: str | None,
    folder: Path | None,
    fixture: Path | None,
    rpc: str | None,
    deployment: Path,
    out: Path | None,
    force: bool,
    stores: tuple[str, ...],
    threads: int,
    replay: bool,
) -> None:
    """Write one self-contained HTML page about a dispute.

    ID is that of a dispute or of an update, or its first digits, as `gavel status` shows them; FOLDER is the
    job. Without a chain, give --fixture instead of both. The page needs nothing else: no network, no script,
    no gavel.
    """
    from gavel.explain.facts import facts_of, resolve
    from gavel.explain.fixture import folder_of, replayed
    from gavel.explain.page import page
    from gavel.explain.right import openings_of
    from protocol.chain.court_view import ChainView
    from protocol.files import written
    from protocol.job_folder import JobFolder

    log, names = logger("explain"), dict[bytes, str]()
    if fixture is None and (dispute is None or folder is None or rpc is None):
        raise UsageError("name the dispute's ID, the job's FOLDER and the chain's --rpc; or give a --fixture")
    with ExitStack() as stack:
        if fixture is not None:
            played = stack.enter_context(replayed(fixture))
            log(f"replayed {fixture}: everything agrees")
            contracts, view, events, names = played.contracts, played.view, played.events, played.names
            job = played.disputed()
            loaded = folder_of(job) if folder is None else JobFolder.load(folder)
            if loaded.job != job:
                raise MismatchError(f"{folder} holds another job than {fixture}; leave FOLDER out, or fix it")
        elif folder is not None and rpc is not None:
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
            known = open_stores(loaded, folder, stores) if folder is not None else []
            openings = openings_of(
                loaded, view.update(found.update), found.segment, stores=known, threads=threads, log=log
            )
        facts = facts_of(contracts, view, events, found, folder=loaded, openings=openings)
        told = page(replace(facts, names=names | facts.names))
    with written(path) as file:
        file.write(told.encode())
    log(f"wrote {path}")
