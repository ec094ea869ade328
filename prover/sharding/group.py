"""Processes that share a step: torch.distributed over gloo, for arrays of numpy (specs/trainer.md, K-8)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protocol.errors import PeerError, UsageError

PATIENCE: Final = 300.0
"""Seconds that a process waits for the others within a step."""

_IDLE: Final = timedelta(days=365)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a process stands.

    Attributes:
        rank: 0 leads.
        world: processes, at least 2.
        rendezvous: address that all of them can reach, at the leader's machine: ``tcp://host:port``.
        patience: seconds to wait for the others, to meet them and within a step.
    """

    rank: int
    world: int
    rendezvous: str
    patience: float = PATIENCE


class Group:
    """A connected process. Every process makes the same calls in the same order."""

    def __init__(self, place: Place) -> None:
        """Meet the other processes.

        Raises:
            UsageError: the place makes no sense.
            PeerError: not all of them came in time.
        """
        import torch.distributed as dist

        if place.world < 2 or not 0 <= place.rank < place.world:
            raise UsageError(
                f"process {place.rank + 1} of {place.world}: a step is shared by at least 2 processes, "
                "numbered from 1"
            )
        if not place.rendezvous.startswith("tcp://") or ":" not in place.rendezvous[6:]:
            raise UsageError(f"{place.rendezvous!r} is no address to meet at; write tcp://host:port")
        if place.rendezvous[6:].rpartition(":")[0] in {"127.0.0.1", "localhost"}:
            _stay_on_this_machine()
        self.rank, self.world = place.rank, place.world
        self._dist: Any = dist
        with _told(f"the {place.world} processes did not all meet at {place.rendezvous}"):
            dist.init_process_group(
                "gloo",
                init_method=place.rendezvous,
                rank=place.rank,
                world_size=place.world,
                timeout=timedelta(seconds=place.patience),
            )
            self._idle: Any = dist.new_group(timeout=_IDLE)

    def gathered(self, words: NDArray[Any], sizes: Sequence[int]) -> list[NDArray[Any]]:
        """Return the arrays of all processes.

        Args:
            words: flat, this process's; sizes: of all of them.
        """
        import torch

        own = np.zeros(max(sizes), words.dtype)
        own[: words.size] = words
        parts = [np.empty_like(own) for _ in sizes]
        with _told("another process of the group has gone or is too slow"):
            self._dist.all_gather(
                [torch.from_numpy(_signed(p)) for p in parts], torch.from_numpy(_signed(own))
            )
        return [part[:size] for part, size in zip(parts, sizes, strict=True)]

    def spread(self, words: NDArray[Any]) -> None:
        """Fill a flat array with the leader's."""
        import torch

        with _told("another process of the group has gone or is too slow"):
            self._dist.broadcast(torch.from_numpy(_signed(words)), src=0)

    def order(self, *numbers: int) -> tuple[int, ...]:
        """What the leader says is next, in as many numbers; the others wait for it as long as it takes."""
        import torch

        words = torch.tensor(numbers, dtype=torch.int64)
        with _told("the leader of the group has gone"):
            self._dist.broadcast(words, src=0, group=self._idle)
        return tuple(words.tolist())

    def close(self) -> None:
        """Leave."""
        if self._dist.is_initialized():
            self._dist.destroy_process_group()


def free_address() -> str:
    """An address on this machine at which processes of it can meet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def _stay_on_this_machine() -> None:
    """Let gloo listen where nobody else can reach it: it asks nobody who they are."""
    loopback = [name for _, name in socket.if_nameindex() if name in {"lo", "lo0"}]
    if loopback:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback[0])


def _signed(words: NDArray[Any]) -> NDArray[Any]:
    """The same memory in a type that torch knows."""
    return words.view(np.int32) if words.dtype == np.uint32 else words


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:  # torch's own distributed errors are RuntimeErrors
        raise PeerError(
            f"{what} ({str(error).splitlines()[0][:200]}); nothing that is stored is lost: start all "
            "processes again, and training goes on after the last stored segment"
        ) from error
