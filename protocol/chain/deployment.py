"""The contracts of a deployment: putting them on a chain, naming them in a file, checking them (A-1)."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from eth_utils.address import is_checksum_address, to_checksum_address

from protocol.chain.artifacts import compile_contract
from protocol.chain.client import Client
from protocol.chain.contract import Contract, creation_code
from protocol.chain.gas_bound import least_scheduled_gas
from protocol.errors import MalformedError, MismatchError
from protocol.files import read_file, trouble, written
from protocol.job import Job
from protocol.wire import read_json

FORMAT: Final = "gavel deployment 2"
MAX_BYTES: Final = 1 << 16
NAMES: Final = ("token", "functions", "verifier", "timelock", "board", "court", "availability")
DEPLOYMENT_GAS: Final = 12_000_000
TIMELOCK: Final = 172_800
"""Seconds from the announcement of a change to the board to the change (B-7), unless said otherwise."""

TOKEN_SUPPLY: Final = 10**9 * 10**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Where the contracts are.

    Attributes:
        chain_id: of the chain that they are on.
        block: number of a block before their first transaction; logs are read from there.
        token, functions, verifier, timelock, board, court, availability: checksummed addresses; `functions`
            is `ScalarFunctions`.
        code: sha256 of each contract's code on chain, hexadecimal, by the same names.
    """

    chain_id: int
    block: int
    token: str
    functions: str
    verifier: str
    timelock: str
    board: str
    court: str
    availability: str
    code: dict[str, str]

    def save(self, path: Path) -> None:
        """Write the deployment file. Raises StorageError if it cannot be written."""
        text = json.dumps({"format": FORMAT, **asdict(self)}, indent=2) + "\n"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise trouble(f"the folder of {path} cannot be made", error) from error
        with written(path) as file:
            file.write(text.encode())

    @classmethod
    def load(cls, path: Path) -> Deployment:
        """Read a deployment file (deployment.md, B-1).

        Raises:
            MalformedError: it is not one; names the key.
            StorageError: it cannot be read.
        """
        what = f"the deployment file {path}"
        data = read_json(read_file(path, limit=MAX_BYTES), what=what)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise MalformedError(f"{what} is not one ({FORMAT}); make one with `gavel deploy`")
        keys = {"format", *(field.name for field in fields(cls))}
        if data.keys() != keys:
            wrong = ", ".join(sorted(data.keys() ^ keys))
            raise MalformedError(f"{what} has keys missing or unknown: {wrong}; make it anew (B-1)")
        for name, least in (("chain_id", 1), ("block", 0)):
            if type(data[name]) is not int or not least <= data[name] < 1 << 256:
                raise MalformedError(f"{what}: {name} is {data[name]!r}, not a number from {least} up (B-1)")
        for name in NAMES:
            if not isinstance(data[name], str) or not is_good_address(data[name]):
                raise MalformedError(f"{what}: {name} is {data[name]!r}, not an address (B-1)")
        code = data["code"]
        if not isinstance(code, dict) or code.keys() != set(NAMES):
            raise MalformedError(f"{what}: code does not hold a hash for each of {', '.join(NAMES)} (B-1)")
        for name, digest in code.items():
            if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
                raise MalformedError(
                    f"{what}: code of {name} is {digest!r}, not a sha256 in hexadecimal (B-1)"
                )
        addresses = {name: to_checksum_address(data[name]) for name in NAMES}
        return cls(chain_id=data["chain_id"], block=data["block"], code=code, **addresses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contracts:
    """The contracts of a deployment, bound to one client."""

    client: Client
    deployment: Deployment
    token: Contract
    functions: Contract
    verifier: Contract
    timelock: Contract
    board: Contract
    court: Contract
    availability: Contract

    @classmethod
    def bind(cls, client: Client, deployment: Deployment) -> Contracts:
        """Bind without a look at the chain; see `verify`."""
        return cls(
            client=client,
            deployment=deployment,
            token=Contract(client, "BondToken", deployment.token),
            functions=Contract(client, "ScalarFunctions", deployment.functions),
            verifier=Contract(client, "StepVerifier", deployment.verifier),
            timelock=Contract(client, "Timelock", deployment.timelock),
            board=Contract(client, "JobBoard", deployment.board),
            court=Contract(client, "Court", deployment.court),
            availability=Contract(client, "Availability", deployment.availability),
        )

    @property
    def account(self) -> bytes:
        """The 20 bytes of the client's address. Raises ChainError for a client without a key."""
        return bytes.fromhex(self.client.address[2:])

    def verify(self, job: Job | None = None) -> None:
        """Check that the chain holds the code that this package compiles, wired as the deployment says (A-1).

        Args:
            job: has to be open on the board too.

        A bond token is whatever the board names: its code is only compared with the deployment's (B-3, B-4).
        Who governs the board is not checked: it can change nothing about a job that is open (M-1).

        Raises:
            MismatchError: something differs, and nobody should send tokens to such a deployment; or the board
                does not know the job.
            ChainError: the node failed.
        """
        codes: dict[str, bytes] = {}
        for name in NAMES:
            contract: Contract = getattr(self, name)
            artifact, code = contract.artifact, self.client.code(contract.address)
            # Vyper appends immutables to the runtime code; what they hold is asked for below.
            ours = len(code) == artifact.deployed_bytes and code.startswith(artifact.runtime)
            if not code:
                raise MismatchError(
                    f"there is no contract at {contract.address}, where the {name} should be; use the "
                    "deployment file and the node of the same chain"
                )
            if name != "token" and not ours:
                raise MismatchError(
                    f"the code of the {name} at {contract.address} is not what this version of gavel "
                    "compiles; do not use it: get the version that it was deployed with and check that one"
                )
            codes[name] = code
        wiring = {
            "token of the board": (self.board.view("token"), self.token),
            "court of the board": (self.board.view("court"), self.court),
            "availability of the board": (self.board.view("availability"), self.availability),
            "board of the availability": (self.availability.view("board"), self.board),
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
        for name, code in codes.items():
            if sha256(code).hexdigest() != self.deployment.code[name]:
                raise MismatchError(
                    f"the code of the {name} at {getattr(self, name).address} does not hash to what the "
                    "deployment file says; do not use it: get the file from who deployed the contracts"
                )
        if job is not None and self.board.view("terms", job.job_id)["board"] != self.board.address_bytes:
            raise MismatchError(
                f"the board at {self.board.address} does not know job {job.job_id.hex()}; use the deployment "
                "that the job was opened with"
            )


def is_good_address(text: str) -> bool:
    """Whether a text is an address with the checksum of EIP-55, or in one case, which has none (B-1)."""
    if not re.fullmatch("0x[0-9a-fA-F]{40}", text):
        return False
    return text[2:] in (text[2:].lower(), text[2:].upper()) or is_checksum_address(text)


def deploy(
    client: Client,
    *,
    token: str | None = None,
    scheduled_gas: int | None = None,
    timelock: int = TIMELOCK,
    supply: int = TOKEN_SUPPLY,
) -> Contracts:
    """Deploy all from the client's account and bind them (B-5); a token unless one is given.

    Args:
        client: with a key whose account has coins for about 25 M gas.
        token: address of an ERC-20 that moves exactly what it says (M-10), or None for a new `BondToken`.
        scheduled_gas: least gas that a job may schedule (M-1); what M-11 says unless given.
        timelock: seconds that the board's governor, of which the account is the proposer, has to wait.
        supply: of a new token, in its smallest unit, credited to the account.

    Raises:
        ChainError: a transaction failed.
    """
    block = client.block_number()
    token = token or _create(client, "BondToken", supply)
    functions = _create(client, "ScalarFunctions")
    verifier = _create(client, "StepVerifier", functions)
    governor = _create(client, "Timelock", timelock, client.address)
    board = _create(client, "JobBoard", token, scheduled_gas or least_scheduled_gas())
    court = _create(client, "Court", board, verifier)
    availability = _create(client, "Availability", board)
    Contract(client, "JobBoard", board).send("bind", court, availability, governor)
    addresses = {
        "token": token,
        "functions": functions,
        "verifier": verifier,
        "timelock": governor,
        "board": board,
        "court": court,
        "availability": availability,
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
