"""Several nodes of one chain as one web3 provider: which of them to ask, and what they disagree about (A-20).

The first node, in the order given, that is fit is used for everything, so that what is read together comes
from one place. All are looked at again every so often. One that fails in the middle is followed by one that
has the same latest block, so that nothing read before is contradicted by what is read after; where there is
none, the request fails and the caller looks again.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

from web3 import HTTPProvider
from web3.exceptions import Web3Exception
from web3.providers.base import BaseProvider
from web3.types import RPCEndpoint, RPCResponse

from protocol.chain.log import Log, Said, quiet

STALE: Final = 300
"""Seconds that the latest block may be old before a node counts as stale."""

LAG_BLOCKS: Final = 5
LAG_SECONDS: Final = 60
"""A node is behind if its head is both further than this below another's and older than this."""

BURIED: Final = 64
"""Blocks under the head that are taken to be there for good: deeper than any watcher looks back."""

SETTLED: Final = 8
"""Blocks under which two nodes that are well do not differ."""

_TRANSPORT: Final = (OSError, ValueError, Web3Exception)
_TIMEOUT: Final = 15.0
_SOLE_TIMEOUT: Final = 60.0
_LONGEST_PAUSE: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often nodes are looked at, in seconds.

    Attributes:
        others: between two looks at the nodes that are not in use; a failing one is looked at less often.
        split: for which nodes may differ about the last blocks before that counts as a disagreement.
    """

    others: float = 5.0
    split: float = 30.0


@dataclass(slots=True, eq=False)
class Endpoint:
    """One node and what is known of it.

    Attributes:
        name: for people; of its URL only the host, since the rest may be a key.
        number, timestamp, hash: of its latest block.
        broken: why it cannot be used at all; empty if it can.
        doubt: why others are better; empty if none is.
        split: whether most of the others contradict it.
        admitted: whether its chain was checked since it last failed.
        due, failures: when to look at it again, and how often it failed in a row.
    """

    name: str
    provider: BaseProvider
    number: int = -1
    timestamp: int = 0
    hash: str = ""
    latest: dict[str, Any] | None = None
    broken: str = ""
    doubt: str = ""
    split: bool = False
    admitted: bool = False
    due: float = 0.0
    failures: int = 0

    def ask(self, method: str, *params: Any) -> Any:
        """The result of a request. Raises ConnectionError, saying what the node does, if there is none."""
        try:
            response = self.provider.make_request(RPCEndpoint(method), list(params))
        except _TRANSPORT as error:
            raise ConnectionError(_silent(error)) from error
        problem = response.get("error")
        if problem is not None:
            words = problem.get("message") if isinstance(problem, dict) else problem
            raise ConnectionError(f"answers {method} with {str(words)[:200]!r}")
        return response.get("result")

    def hash_at(self, number: int) -> str:
        """Hash of one of its blocks; empty if it has none of that number. Raises ConnectionError as `ask`."""
        block = self.ask("eth_getBlockByNumber", hex(number), False)
        return str(block.get("hash", "")) if isinstance(block, dict) else ""


@dataclass(slots=True)
class _Known:
    """A block that every node of this chain has: number and hash."""

    number: int = 0
    hash: str = ""


class Nodes(BaseProvider):
    """See the module's text."""

    def __init__(
        self,
        nodes: Sequence[tuple[str, BaseProvider]],
        *,
        chain_id: int | None = None,
        code: Mapping[str, str] | None = None,
        pace: Pace | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Ask nobody yet.

        Args:
            nodes: name and provider of each, the most trusted first.
            chain_id: that they must have; that of the first that answers unless given.
            code: see `Client.connect`.
            pace: how often they are looked at.
            wall: this machine's clock, seconds.
        """
        super().__init__()
        self._nodes = [Endpoint(name=name, provider=provider) for name, provider in nodes]
        self._chain_id, self._code, self._pace, self._wall = chain_id, code, pace or Pace(), wall
        self._anchor = _Known()
        self._current = self._nodes[0]
        self._split_since: float | None = None
        self._lock = threading.RLock()
        self._log = Said(quiet)
        self._threads = ThreadPoolExecutor(len(nodes), thread_name_prefix="node") if self.several else None

    @classmethod
    def over_http(cls, urls: Sequence[str], **options: Any) -> Nodes:
        """Nodes at URLs; one alone is asked more patiently than one of several."""
        several = len(urls) > 1
        made = []
        for number, url in enumerate(urls, 1):
            provider = (
                HTTPProvider(url, request_kwargs={"timeout": _TIMEOUT}, exception_retry_configuration=None)
                if several  # rather ask the next one than this one again
                else HTTPProvider(url, request_kwargs={"timeout": _SOLE_TIMEOUT})
            )
            made.append((f"node {number} ({shown(url)})" if several else shown(url), provider))
        return cls(made, **options)

    @property
    def several(self) -> bool:
        """Whether there is a choice."""
        return len(self._nodes) > 1

    @property
    def current(self) -> str:
        """Name of the node in use."""
        return self._current.name

    def tell(self, log: Log) -> None:
        """Say to this log what is found out about nodes."""
        self._log = Said(log)

    def usable(self) -> Iterator[tuple[str, BaseProvider]]:
        """Name and provider of each node that can be asked, the one in use first."""
        for node in sorted(self._nodes, key=lambda node: node is not self._current):
            if not node.broken:
                yield node.name, node.provider

    def describe(self) -> list[tuple[str, str]]:
        """Name and state of each node, in words."""
        return [(node.name, self._state(node)) for node in self._nodes]

    def _state(self, node: Endpoint) -> str:
        if node is self._current and not node.broken:
            return "in use"
        return node.broken or node.doubt or ("fit" if node.number >= 0 else "not asked yet")

    # ---------------------------------------------------------------- requests

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Answer from the node in use; asked for the latest block, choose that node anew.

        Raises:
            ConnectionError: no node is fit, or none of the others is where the one was that has gone away.
        """
        with self._lock:
            if method == "eth_getBlockByNumber" and params and params[0] == "latest":
                return self._look()
            if self.several and self._current.number < 0:
                self._look()
            while True:
                node = self._current
                try:
                    return node.provider.make_request(method, params)
                except _TRANSPORT as error:
                    self._put_out(node, _silent(error))
                    if not self._go_on(node):
                        more = ", and no other is at its latest block" if self.several else ""
                        raise ConnectionError(f"{node.name} {node.broken}{more}") from error

    def _go_on(self, left: Endpoint) -> bool:
        """Use another node in the middle of things, if one has the latest block of the one that failed."""
        for node in self._nodes:
            if node is not left and not node.broken:
                with suppress(ConnectionError):
                    if node.hash_at(left.number) == left.hash:
                        self._use(node)
                        return True
        return False

    def spread(self, raw: str) -> None:
        """Tell a signed transaction, in hexadecimal, to the nodes not in use, whatever they say to it."""
        with self._lock:
            for node in self._nodes:
                if node is not self._current and not node.broken:
                    with suppress(ConnectionError):
                        node.ask("eth_sendRawTransaction", raw)

    # ---------------------------------------------------------------- looking at nodes

    def _look(self) -> RPCResponse:
        """The latest block of the node that is used from now on."""
        now = time.monotonic()
        due = [node for node in self._nodes if node is self._current or now >= node.due]
        self._inspect(due)
        if all(node.broken for node in self._nodes):
            self._inspect([node for node in self._nodes if node not in due])
        able = [node for node in self._nodes if not node.broken]
        if not able:
            raise ConnectionError("; ".join(f"{node.name} {node.broken}" for node in self._nodes))
        if self.several:
            self._judge(able)
            if len(due) > 1:
                self._compare([node for node in able if node.split or not node.doubt])
        fit = [node for node in able if not node.doubt]
        self._use(fit[0] if fit else max(able, key=lambda node: node.number))
        self._bury()
        return RPCResponse(jsonrpc="2.0", id=0, result=self._current.latest)

    def _use(self, node: Endpoint) -> None:
        if node is not self._current:
            why = self._current.broken or self._current.doubt
            left = f"leaves {self._current.name}, which {why}; uses {node.name}"
            back = f"goes back to {node.name}, which is well again"
            self._log(
                left if why else back, level="warning" if why else "info", node=node.name, switched=True
            )
            self._current = node

    def _inspect(self, nodes: Sequence[Endpoint]) -> None:
        if self._threads is not None and self._anchor.hash:
            list(self._threads.map(self._inspect_one, nodes))
        else:  # the first in order that is fit says what the chain is
            for node in nodes:
                self._inspect_one(node)

    def _inspect_one(self, node: Endpoint) -> None:
        try:
            why = self._against(node)
        except ConnectionError as error:
            why = str(error)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            why = f"answers with what nobody can read ({type(error).__name__})"
        if why:
            self._put_out(node, why)
        else:
            node.broken, node.admitted, node.failures = "", True, 0
            node.due = time.monotonic() + self._pace.others

    def _put_out(self, node: Endpoint, why: str) -> None:
        if self.several and node is not self._current:
            self._log.once(f"{node.name} {why}; it is not used until that changes", level="warning")
        node.broken, node.admitted = why, False
        node.failures += 1
        node.due = time.monotonic() + min(self._pace.others * 2**node.failures, _LONGEST_PAUSE)

    def _against(self, node: Endpoint) -> str:
        """Read the latest block of a node; return what speaks against using it at all, empty if nothing."""
        latest, before = node.ask("eth_getBlockByNumber", "latest", False), node.hash
        if not isinstance(latest, dict):
            return "has no latest block"
        node.latest, node.hash = latest, str(latest["hash"])
        node.number, node.timestamp = int(latest["number"], 16), int(latest["timestamp"], 16)
        if node.admitted and node.hash == before:
            return ""
        chain_id = int(node.ask("eth_chainId"), 16)
        if self._chain_id is None:
            self._chain_id = chain_id
        if chain_id != self._chain_id:
            return f"is on chain {chain_id}, not on chain {self._chain_id}"
        if self.several and not node.admitted and (why := self._other_code(node)):
            return why
        found = node.hash_at(self._anchor.number)
        if not self._anchor.hash:
            self._anchor.hash = found
        if found != self._anchor.hash:
            told = f"has the hash {found} for it" if found else "has none of that number"
            return f"is on another chain: block {self._anchor.number} is {self._anchor.hash}, and it {told}"
        return ""

    def _other_code(self, node: Endpoint) -> str:
        for address, digest in (self._code or {}).items():
            code = bytes.fromhex(str(node.ask("eth_getCode", address, "latest")).removeprefix("0x"))
            if sha256(code).hexdigest() != digest:
                return f"has {'other' if code else 'no'} code at {address}, where a contract should be"
        return ""

    def _bury(self) -> None:
        """Move on the block that every node must have, where a chain is followed for long."""
        node = self._current
        if self._code is not None and node.number >= self._anchor.number + 2 * BURIED:
            number = node.number - BURIED
            with suppress(ConnectionError):
                self._anchor = _Known(number=number, hash=node.hash_at(number))

    # ---------------------------------------------------------------- comparing nodes

    def _judge(self, able: Sequence[Endpoint]) -> None:
        """Say of each node whether it is behind the others."""
        heads = sorted((node.number for node in able), reverse=True)
        # Of three and more, one alone that is far ahead does not make the others look late.
        reference = heads[1] if len(heads) > 2 else heads[0]
        ages = [self._wall() - node.timestamp for node in able]
        for node, age in zip(able, ages, strict=True):
            missing = reference - node.number
            behind = missing > LAG_BLOCKS and age > LAG_SECONDS
            stale = age > STALE and min(ages) <= STALE
            if behind or stale:
                node.doubt = f"is {age:,.0f} s and {max(missing, 0)} blocks behind"
            elif not node.split:
                node.doubt = ""

    def _compare(self, nodes: Sequence[Endpoint]) -> None:
        """Compare the highest block that all of some nodes should have (A-21)."""
        common = min((node.number for node in nodes), default=0)
        found = self._hashes(nodes, common)
        if len(set(found.values())) < 2:
            self._split_since = None
            for node in self._nodes:
                node.split = False
            return
        settled = max(common - SETTLED, 0)
        deep = self._hashes(nodes, settled)
        now = time.monotonic()
        self._split_since = self._split_since or now
        if len(set(deep.values())) > 1:
            common, found = settled, deep
        elif now - self._split_since < self._pace.split:
            return  # the last blocks are often not the same everywhere for some seconds
        first, *_ = found
        other = next(node for node in found if found[node] != found[first])
        self._log.once(
            f"NODES DISAGREE: block {common} is {found[first]} at {first.name} and {found[other]} at "
            f"{other.name}: one of them lies or follows another branch; find out which, and leave it out",
            level="error",
            about=("split", first.name, other.name),
            block=common,
        )
        most, votes = Counter(found.values()).most_common(1)[0]
        if 2 * votes > len(found):
            for node, told in found.items():
                node.split = told != most
                node.doubt = f"disagrees with most about block {common}" if node.split else ""

    @staticmethod
    def _hashes(nodes: Sequence[Endpoint], number: int) -> dict[Endpoint, str]:
        found = {}
        for node in nodes:
            with suppress(ConnectionError):
                found[node] = node.hash if number == node.number else node.hash_at(number)
        return found


def shown(url: str) -> str:
    """What of a URL can be shown: user, path and query may hold a key."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] or "?"


def _silent(error: Exception) -> str:
    """How a node failed to answer; the error's own text may hold the whole URL."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return f"does not answer ({type(error).__name__}{f' {status}' if status else ''})"
