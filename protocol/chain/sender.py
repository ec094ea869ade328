"""One account's transactions: numbered, handed over, awaited, raised, sent again (actors.md, A-12, A-22)."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, cast

from eth_account.signers.local import LocalAccount
from hexbytes import HexBytes
from web3 import Web3
from web3.exceptions import TimeExhausted, TransactionNotFound, Web3Exception, Web3RPCError
from web3.types import TxParams, TxReceipt

from protocol.chain.fees import GWEI, Fee, Sending
from protocol.chain.log import Log, Said
from protocol.chain.nodes import Nodes
from protocol.errors import AccountError, ChainError

TRANSPORT_ERRORS: Final = (OSError, TimeExhausted, Web3Exception, ValueError)
"""What web3 raises when a node does not answer, or not so."""

_SLOWEST: Final = 1.0
"""Seconds between two looks whether a transaction is mined, at most."""

_KNOWN: Final = ("already known", "already imported")
_TOO_CHEAP: Final = ("underpriced", "replace existing", "replacementnotallowed", "feetoolow")
"""How nodes say that they have a transaction, and that another of its number offers too little."""


@dataclass(slots=True)
class _Waiting:
    """A transaction that is not mined yet, in all its versions; `older` are of what it takes the place of."""

    nonce: int
    fee: Fee
    raw: HexBytes
    hashes: list[HexBytes] = field(default_factory=list)
    older: list[HexBytes] = field(default_factory=list)
    dropped: bool = False


class Sender:
    """Sends for one account; of all that it signs with one number at most one is mined."""

    def __init__(self, web3: Web3, signer: LocalAccount, *, sending: Sending, log: Log) -> None:
        """Nothing is asked or sent yet."""
        self._web3, self._signer, self._sending = web3, signer, sending
        self.tell(log)
        self._nonce: int | None = None
        self._last: HexBytes | None = None
        self._stuck: _Waiting | None = None

    def tell(self, log: Log) -> None:
        """Say to this log what becomes of transactions."""
        self._log = Said(log)

    def take_number(self) -> None:
        """Know the number of the next transaction, once none of an earlier process is pending (A-12).

        Raises:
            ChainError: the node fails.
        """
        address = self._signer.address
        until = time.monotonic() + self._sending.pending
        try:
            mined = int(self._web3.eth.get_transaction_count(address, "latest"))
            undone = self._last is not None and mined < (self._nonce or 0) and not self._receipt(self._last)
            if self._nonce is not None and not undone:
                return
            while int(self._web3.eth.get_transaction_count(address, "pending")) > mined:
                if time.monotonic() > until:
                    break  # stuck: what is sent now takes the place of the first of them
                time.sleep(min(self._sending.poll * 10, _SLOWEST))
                mined = int(self._web3.eth.get_transaction_count(address, "latest"))
        except TRANSPORT_ERRORS as error:
            raise ChainError(
                f"the node did not say how many transactions {address} has sent ({error})"
            ) from error
        self._nonce = mined

    def mined(self, request: TxParams, tag: str) -> TxReceipt:
        """Hand over a transaction under the number taken before; return its receipt once it is mined.

        Raises:
            AccountError: too few coins, or the fee is at its limit.
            ChainError: it was not accepted, or not mined in time.
        """
        try:
            waiting = self._hand_over(request)
            receipt = self._await(waiting, request, tag)
        except (TransactionNotFound, *TRANSPORT_ERRORS) as error:
            self._nonce = None  # ask the node again: it may or may not have taken the transaction
            short = self._short(request)
            kind = AccountError if short else ChainError
            raise kind(
                f"the transaction for {tag!r} was not mined: {error}; {short or 'check the node'}, then "
                "run the command again: it goes on from what the chain says"
            ) from error
        self._nonce, self._stuck, self._last = waiting.nonce + 1, None, HexBytes(receipt["transactionHash"])
        return receipt

    # ---------------------------------------------------------------- handing over

    def _hand_over(self, request: TxParams) -> _Waiting:
        """Sign and send, with higher fees while something pending has the same number."""
        number = cast(int, self._nonce)
        base_fee = self._base_fee()
        fee: Fee | None = self._sending.first(base_fee)
        older: list[HexBytes] = []
        if self._stuck is not None and self._stuck.nonce == number:
            older = self._stuck.older + self._stuck.hashes
            fee = self._sending.raised(self._stuck.fee, base_fee)
        while fee is not None:
            raw, tx_hash = self._signed(request, number, fee)
            if self._taken(raw):
                return _Waiting(nonce=number, fee=fee, raw=raw, hashes=[tx_hash], older=older)
            fee = self._sending.raised(fee, base_fee)
        raise AccountError(self._limit(f"a pending transaction has the number {number}"))

    def _signed(self, request: TxParams, number: int, fee: Fee) -> tuple[HexBytes, HexBytes]:
        request["nonce"] = cast(Any, number)
        request["maxFeePerGas"] = cast(Any, fee.most)
        request["maxPriorityFeePerGas"] = cast(Any, fee.priority)
        signed = self._signer.sign_transaction(cast(Any, request))
        return signed.raw_transaction, signed.hash

    def _taken(self, raw: HexBytes) -> bool:
        """Whether the node takes it; False if it offers too little to take another's place."""
        try:
            self._web3.eth.send_raw_transaction(raw)
        except Web3RPCError as error:
            text = str(error).lower()
            if any(words in text for words in _TOO_CHEAP):
                return False
            if not any(words in text for words in _KNOWN):
                raise
        return True

    # ---------------------------------------------------------------- waiting

    def _await(self, waiting: _Waiting, request: TxParams, tag: str) -> TxReceipt:
        began = time.monotonic()
        raised_at, poll = began, self._sending.poll
        while (receipt := self._found(waiting, tag)) is None:
            now = time.monotonic()
            if now - began > self._sending.give_up:
                self._give_up(waiting, tag)
            if now - raised_at > self._sending.pending:
                raised_at = now
                self._insist(waiting, request, tag, round(now - began))
            time.sleep(poll)
            poll = min(poll * 1.5, _SLOWEST)
        return receipt

    def _found(self, waiting: _Waiting, tag: str) -> TxReceipt | None:
        for tx_hash in reversed(waiting.hashes):
            if (receipt := self._receipt(tx_hash)) is not None:
                return receipt
        if any(self._receipt(tx_hash) is not None for tx_hash in waiting.older):
            self._nonce, self._stuck = None, None
            raise ChainError(
                f"the transaction for {tag!r} was not mined, but an earlier one of its number that it was to "
                "replace; nothing is lost: what is due now is read from the chain again"
            )
        return None

    def _insist(self, waiting: _Waiting, request: TxParams, tag: str, seconds: int) -> None:
        """Send again what was dropped, and raise what is pending.

        Raises:
            ChainError: its number is taken by a transaction that is not ours.
        """
        if int(self._web3.eth.get_transaction_count(self._signer.address, "latest")) > waiting.nonce:
            self._nonce = None
            raise ChainError(
                f"the transaction for {tag!r} was not mined: another one of the account has its number "
                f"{waiting.nonce}; give each process an account of its own"
            )
        place: dict[str, object] = {"nonce": waiting.nonce, "seconds": seconds}
        if not waiting.dropped and self._dropped(waiting.hashes[-1]):
            waiting.dropped = True  # if it is dropped once more, it offers too little
            self._log(f"the transaction for {tag!r} was dropped; sends it again", level="warning", **place)
            with suppress(Web3RPCError):  # if it is still refused, it is raised next time
                self._taken(waiting.raw)
            self._spread(waiting.raw)
            return
        fee = self._sending.raised(waiting.fee, self._base_fee())
        if fee is None:
            self._log.once(
                self._limit(f"the transaction for {tag!r} is pending, number {waiting.nonce}"), level="error"
            )
            self._spread(waiting.raw)
            return
        raw, tx_hash = self._signed(request, waiting.nonce, fee)
        try:
            taken = self._taken(raw)
        except Web3RPCError as error:  # mined this moment, or too few coins for more
            self._log.once(f"the transaction for {tag!r} is pending and not raised: {error}", level="warning")
            return
        if taken:
            waiting.hashes.append(tx_hash)
            self._log(
                f"the transaction for {tag!r} is pending for {seconds} s: offers {fee} per gas instead of "
                f"{waiting.fee}, same number {waiting.nonce}",
                level="warning",
                replaced=True,
                fee=fee.most,
                **place,
            )
            waiting.raw, waiting.dropped = raw, False
            self._spread(raw)
        waiting.fee = fee  # where even that was too little, the next one offers more

    def _give_up(self, waiting: _Waiting, tag: str) -> None:
        """Let the next transaction take the place of one that was not mined, if that is the next to be."""
        self._stuck, number = waiting, None
        with suppress(*TRANSPORT_ERRORS):
            number = int(self._web3.eth.get_transaction_count(self._signer.address, "latest"))
        if number != waiting.nonce:
            self._nonce = None  # a reorganisation, or another process, has changed what comes next
        if self._sending.raised(waiting.fee, 0) is None:
            raise AccountError(self._limit(f"the transaction for {tag!r} was not mined"))
        raise ChainError(
            f"the transaction for {tag!r} was not mined in {self._sending.give_up:.0f} s; check that the "
            "node keeps up with its network; what is sent next takes its place, with higher fees"
        )

    # ---------------------------------------------------------------- asking

    def _receipt(self, tx_hash: HexBytes) -> TxReceipt | None:
        try:
            return self._web3.eth.get_transaction_receipt(tx_hash)
        except TransactionNotFound:
            return None

    def _dropped(self, tx_hash: HexBytes) -> bool:
        """Whether the node has no such transaction, mined or pending; False where it does not tell."""
        try:
            self._web3.eth.get_transaction(tx_hash)
        except TransactionNotFound:
            return self._receipt(tx_hash) is None
        except TRANSPORT_ERRORS:
            return False
        return False

    def _spread(self, raw: HexBytes) -> None:
        """Tell the other nodes too what one alone does not bring into a block."""
        if isinstance(self._web3.provider, Nodes):
            self._web3.provider.spread(raw.to_0x_hex())

    def _base_fee(self) -> int:
        return int(cast(dict[str, Any], self._web3.eth.get_block("latest")).get("baseFeePerGas", 0))

    def _limit(self, what: str) -> str:
        return (
            f"{what}, and its fee is at the limit of {self._sending.max_fee / GWEI:.4g} gwei: raise "
            "--max-fee, or it waits until gas is cheaper"
        )

    def _short(self, request: TxParams) -> str:
        """Whether the account has too few coins for a transaction, in words; empty if that is not why."""
        address = self._signer.address
        most = int(request["gas"]) * int(cast(int, request.get("maxFeePerGas", 0))) + int(
            cast(int, request["value"])
        )
        with suppress(*TRANSPORT_ERRORS):
            held = int(self._web3.eth.get_balance(address))
            if held < most:
                return f"{address} holds {held:,} wei of coin and this takes up to {most:,}: send it some"
        return ""
