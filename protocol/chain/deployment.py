"""The five contracts of a deployment: putting them on a chain, naming them in a file, checking them (A-1)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from eth_utils.address import to_checksum_address

from protocol.chain.artifacts import compile_contract
from protocol.chain.client import Client
from protocol.chain.contract import Contract, creation_code
from protocol.errors import MalformedError, MismatchError

FORMAT: Final = "gavel deployment 1"
DEPLOYMENT_GAS: Final = 12_000_000
SCHEDULED_GAS: Final = 11_000_000
"""Gas that one side of a worst-case dispute may need (M-1): the dearest proof (8 M) and its other moves."""

TOKEN_SUPPLY: Final = 10**9 * 10**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Where the contracts are.

    Attributes:
        chain_id: of the chain that they are on.
        block: number of a block before their first transaction; logs are read from there.
        token, functions, verifier, board, court: checksummed addresses; `functions` is `ScalarFunctions`.
        code: sha256 of each contract's code on chain, hexadecimal, by the same names.
    """

    chain_id: int
    block: int
    token: str
    functions: str
    verifier: str
    board: str
    court: str
    code: dict[str, str]

    def save(self, path: Path) -> None:
        """Write the deployment file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> Deployment:
        """Read a deployment file. Raises MalformedError if it is not one."""
        try:
            data: dict[str, Any] = json.loads(path.read_text())
            if data.pop("format", None) != FORMAT:
                raise MalformedError(
                    f"{path} is not a deployment file ({FORMAT}); make one with `gavel deploy`"
                )
            deployment = cls(**{field.name: data[field.name] for field in fields(cls)})
            for name in ("token", "functions", "verifier", "board", "court"):
                to_checksum_address(getattr(deployment, name))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MalformedError(f"deployment file {path} cannot be read: {error}") from error
        return deployment


@dataclass(frozen=True, slots=True, kw_only=True)
class Contracts:
    """The contracts of a deployment, bound to one client."""

    client: Client
    deployment: Deployment
    token: Contract
    functions: Contract
    verifier: Contract
    board: Contract
    court: Contract

    @classmethod
    def bind(cls, client: Client, deployment: Deployment) -> Contracts:
        """Bind without a look at the chain; see `verify`."""
        return cls(
            client=client,
            deployment=deployment,
            token=Contract(client, "BondToken", deployment.token),
            functions=Contract(client, "ScalarFunctions", deployment.functions),
            verifier=Contract(client, "StepVerifier", deployment.verifier),
            board=Contract(client, "JobBoard", deployment.board),
            court=Contract(client, "Court", deployment.court),
        )

    @property
    def account(self) -> bytes:
        """The 20 bytes of the client's address. Raises ChainError for a client without a key."""
        return bytes.fromhex(self.client.address[2:])

    def verify(self) -> None:
        """Check that the chain holds the code that this package compiles, wired as the deployment says (A-1).

        A bond token is whatever the board names; only its address is compared.

        Raises:
            MismatchError: something differs. Nobody should send tokens to such a deployment.
            ChainError: the node failed.
        """
        for name in ("functions", "verifier", "board", "court"):
            contract: Contract = getattr(self, name)
            artifact, code = contract.artifact, self.client.code(contract.address)
            # Vyper appends immutables to the runtime code; what they hold is asked for below.
            if len(code) != artifact.deployed_bytes or not code.startswith(artifact.runtime):
                raise MismatchError(
                    f"the code of the {name} at {contract.address} is not what this version of gavel "
                    "compiles; do not use it: get the version that it was deployed with and check that one"
                )
        wiring = {
            "token of the board": (self.board.view("token"), self.token),
            "court of the board": (self.board.view("court"), self.court),
            "board of the court": (self.court.view("board"), self.board),
            "verifier of the court": (self.court.view("verifier"), self.verifier),
            "functions of the verifier": (self.verifier.view("scalar_functions"), self.functions),
        }
        for what, (found, expected) in wiring.items():
            if found != expected.address_bytes:
                raise MismatchError(
                    f"the {what} is {to_checksum_address(found)}, not {expected.address} as the deployment "
                    "says; do not use this deployment"
                )


def deploy(
    client: Client,
    *,
    token: str | None = None,
    scheduled_gas: int = SCHEDULED_GAS,
    supply: int = TOKEN_SUPPLY,
) -> Contracts:
    """Deploy all from the client's account: functions, verifier, board, court; a token unless one is given.

    Args:
        client: with a key whose account has coins for about 20 M gas.
        token: address of an ERC-20 that moves exactly what it says (M-10), or None for a new `BondToken`.
        scheduled_gas: M-1.
        supply: of a new token, in its smallest unit, credited to the account.

    Raises:
        ChainError: a transaction failed.
    """
    block = client.block_number()
    token = token or _create(client, "BondToken", supply)
    functions = _create(client, "ScalarFunctions")
    verifier = _create(client, "StepVerifier", functions)
    board = _create(client, "JobBoard", token, scheduled_gas)
    court = _create(client, "Court", board, verifier)
    Contract(client, "JobBoard", board).send("bind", court)
    addresses = {
        "token": token,
        "functions": functions,
        "verifier": verifier,
        "board": board,
        "court": court,
    }
    code = {
        name: sha256(client.code(to_checksum_address(address))).hexdigest()
        for name, address in addresses.items()
    }
    deployment = Deployment(chain_id=client.chain_id, block=block, code=code, **addresses)
    contracts = Contracts.bind(client, deployment)
    contracts.verify()
    return contracts


def _create(client: Client, name: str, *args: Any) -> str:
    compile_contract(name)  # a contract that is too large fails here with its own message, not as out of gas
    sent = client.send(None, creation_code(name, *args), tag=f"deploy {name}", gas=DEPLOYMENT_GAS)
    return str(sent.created)
