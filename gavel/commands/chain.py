"""`gavel devnet`, `gavel tick` and `gavel deploy`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile

import click

from gavel.commands.shared import PATH, Real, key_option, logger, private_key, rpc_option, sending
from protocol.errors import StorageError, UsageError
from protocol.files import trouble

HANDED_OUT = 10_000 * 10**18
HOUR = 3600


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=8545, show_default=True, help="On 127.0.0.1; 0 for any."
)
@click.option(
    "--accounts", type=click.IntRange(1, 100), default=10, show_default=True, help="Prefunded accounts."
)
@click.option(
    "--block-time",
    type=Real(min=0.05),
    default=1.0,
    show_default=True,
    help="Seconds between empty blocks, which keep the chain's clock going.",
)
@click.option(
    "--wallets",
    "keys",
    type=PATH,
    default=None,
    help="Write the keys to this folder too: files 0, 1, ... for --key-file.",
)
def devnet(port: int, accounts: int, block_time: float, keys: Path | None) -> None:
    """Serve an embedded chain as JSON-RPC on 127.0.0.1, for trying things out.

    It prints accounts with their private keys. They are the ones that every Ethereum development tool prints,
    so they are worthless anywhere else. The chain is gone when the command ends.
    """
    from eth_account import Account

    from protocol.chain.devnet import Devnet
    from protocol.chain.embedded import EmbeddedChain

    chain = EmbeddedChain(accounts=accounts)
    if keys is not None:
        _write_keys(keys, chain.keys)
    server = Devnet(chain, port=port, block_time=block_time)
    for key in chain.keys:
        click.echo(f"{Account.from_key(key).address} 0x{key.hex()}")
    click.echo(f"chain {chain.chain_id} at {server.url}")
    try:
        server.serve()
    except KeyboardInterrupt:
        click.echo("stopped")


def _write_keys(folder: Path, keys: Sequence[bytes]) -> None:
    """One file per account, readable by its owner alone; what is there already is replaced.

    Raises:
        StorageError: the folder or a file in it cannot be written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number, key in enumerate(keys):
            path = folder / str(number)
            path.unlink(missing_ok=True)
            path.touch(mode=0o600)
            path.write_text(f"0x{key.hex()}\n")
    except OSError as error:
        raise StorageError(
            f"the keys cannot be written to {folder} ({error}); name a folder of your own with --wallets"
        ) from error


@click.command()
@rpc_option
@click.argument("hours", type=Real(min=0, max=24 * 366, min_open=True))
def tick(rpc: str, hours: float) -> None:
    """Move the clock of a development chain on by some HOURS, so that windows end.

    Real chains have no such call, and refuse it.
    """
    from protocol.chain.client import Client
    from protocol.chain.development import DevelopmentNode

    client = Client.connect(rpc)
    DevelopmentNode(client).mine(client.now() + int(hours * HOUR))
    logger("clock")(f"moved on by {hours:g} hours")


@click.command()
@rpc_option
@key_option
@click.option("--out", type=PATH, default=Path("deployment.json"), show_default=True, help="Deployment file.")
@click.option(
    "--token", default=None, metavar="ADDRESS", help="ERC-20 for bonds; a new one is made unless given."
)
@click.option(
    "--give",
    multiple=True,
    metavar="ADDRESS",
    help=f"Send {HANDED_OUT // 10**18:,} of the new token to an address; may be repeated.",
)
@click.option(
    "--timelock",
    type=click.IntRange(1, 10 * 365 * 86_400),
    default=None,
    help="Seconds from announcing a change of the board's scheduled gas to making it.  [default: 172800]",
)
@click.option(
    "--scheduled-gas",
    type=click.IntRange(1, (1 << 32) - 1),
    default=None,
    help="Least gas that a job may schedule for a side of a dispute.  [default: by the gas snapshot]",
)
def deploy(
    rpc: str,
    key_file: Path | None,
    out: Path,
    token: str | None,
    give: tuple[str, ...],
    timelock: int | None,
    scheduled_gas: int | None,
) -> None:
    """Deploy the contracts, and write where they are.

    Bond token, scalar functions, step verifier, timelock, board, court and availability. The account becomes
    the proposer of the timelock, which can change the scheduled gas of jobs opened later, and nothing else.
    """
    from protocol.chain import deployment
    from protocol.chain.client import Client

    for address in (*give, *([token] if token else [])):
        if not deployment.is_good_address(address):
            raise UsageError(
                f"{address!r} is not an address; write 0x and 40 hexadecimal digits, and mind the checksum"
            )
    if token and give:
        raise UsageError("--give hands out a new token; leave out --token, or send the tokens yourself")
    _check_new(out)
    log = logger("deploy")
    client = Client.connect(rpc, key=private_key(key_file), sending=sending())
    delay = timelock or deployment.TIMELOCK
    contracts = deployment.deploy(client, token=token, timelock=delay, scheduled_gas=scheduled_gas)
    for address in give:
        contracts.token.send("transfer", address, HANDED_OUT)
        log(f"{HANDED_OUT // 10**18:,} bond tokens to {address}")
    for name in deployment.NAMES:
        log(f"{name} at {getattr(contracts.deployment, name)}")
    log(f"a job schedules at least {contracts.board.view('scheduled_gas'):,} gas for a side of a dispute")
    log(f"{client.address} can announce a change of that, which takes {delay:,} s")
    contracts.deployment.save(out)
    log(f"code on chain checked; wrote {out}")


def _check_new(out: Path) -> None:
    """Check, before anything is spent, that a deployment file can be written and no other is lost (E-2).

    Raises:
        UsageError: something is there already.
        StorageError: its folder cannot be written to.
    """
    if out.exists():
        raise UsageError(
            f"{out} is there already, and whoever has jobs on its contracts needs it; nothing was sent; name "
            "another file with --out, or move it away"
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise trouble(f"{out} cannot be written", error) from error
