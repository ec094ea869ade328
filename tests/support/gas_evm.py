"""Gas as a chain charges it, on py-evm: cold storage in every transaction, refunds, calldata's floor price.

`GasEvm` is a `FastEvm` with py-evm inside: pyrevm keeps storage warm from call to call and ignores the floor
price. Senders need no keys.
"""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

from eth_utils.address import to_canonical_address, to_checksum_address

from tests.support.evm import FastEvm

_BLOCK_GAS = 10**9


class GasEvm(FastEvm):
    """One chain in memory (Prague rules) whose gas is what a receipt would say."""

    def __init__(self, *, timestamp: int = 1_700_000_000, number: int = 1_000) -> None:
        super().__init__(timestamp=timestamp, number=number)
        self._evm: Any = _PyEvm()
        self._set_block()

    @property
    def execution(self) -> tuple[int, int]:
        """Gas that the last call's code took, calldata and 21,000 apart, and the refund that it earned."""
        return self._evm.result.execution, self._evm.result.refund


class _PyEvm:
    """py-evm with the methods of pyrevm that `FastEvm` uses."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from eth import constants
            from eth.chains.base import MiningChain
            from eth.db.atomic import AtomicDB
            from eth.vm.forks.prague import PragueVM
            from eth.vm.spoof import SpoofTransaction

        chain: Any = MiningChain.configure(
            __name__="GasChain",
            vm_configuration=((constants.GENESIS_BLOCK_NUMBER, PragueVM),),
            chain_id=1,
        )
        genesis = {"difficulty": 0, "gas_limit": _BLOCK_GAS, "timestamp": 1}
        self._vm: Any = chain.from_genesis(AtomicDB(), genesis, {}).get_vm()
        self._spoof: Any = SpoofTransaction
        self.result = SimpleNamespace(gas_used=0, logs=[], execution=0, refund=0)

    def get_balance(self, account: str) -> int:
        return int(self._vm.state.get_balance(to_canonical_address(account)))

    def set_balance(self, account: str, wei: int) -> None:
        self._vm.state.set_balance(to_canonical_address(account), wei)
        self._vm.state.lock_changes()

    def set_block_env(self, block: Any) -> None:
        context = self._vm.state.execution_context
        context._timestamp, context._block_number = block.timestamp, block.number
        context._base_fee_per_gas = 0

    def deploy(self, deployer: str, code: bytes, *, value: int, gas: int) -> str:
        computation = self._apply(deployer, b"", code, value, gas)
        return str(to_checksum_address(computation.msg.storage_address))

    def message_call(self, caller: str, to: str, *, calldata: bytes, value: int, gas: int) -> bytes:
        return bytes(self._apply(caller, to_canonical_address(to), calldata, value, gas).output)

    def _apply(self, sender: str, to: bytes, data: bytes, value: int, gas: int) -> Any:
        who, state = to_canonical_address(sender), self._vm.state
        plain = self._vm.create_unsigned_transaction(
            nonce=state.get_nonce(who), gas_price=0, gas=gas, to=to, value=value, data=data
        )
        transaction = self._spoof(plain, from_=who)
        computation = state.apply_transaction(transaction)
        # as between two transactions: storage is cold again
        state.lock_changes()
        if computation.is_error:
            raise RuntimeError(f"output: 0x{bytes(computation.output).hex()}")
        logs = [
            SimpleNamespace(
                address=to_checksum_address(address),
                topics=[f"0x{topic:064x}" for topic in topics],
                data=(topics, data),
            )
            for address, topics, data in computation.get_log_entries()
        ]
        gas_used = int(self._vm.finalize_gas_used(transaction, computation))
        # what the code itself took, without 21,000 and calldata, and what it gives back
        own, back = int(computation.get_gas_used()), int(computation.get_gas_refund())
        self.result = SimpleNamespace(gas_used=gas_used, logs=logs, execution=own, refund=back)
        return computation
