"""What a requester gets beside the weights: what was done, and what was checked (J-6)."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from gavel.fetching import Fetched
from gavel.jobs import named_tensors
from protocol.chain.contract import Event
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import NAMES, Contracts
from protocol.errors import StorageError, UsageError
from protocol.files import written
from protocol.game.view import UpdateInfo, UpdateStatus
from protocol.job_folder import JobFolder

FORMAT: Final = "gavel receipt 1"
SUFFIX: Final = ".receipt.json"

_UPDATE_EVENTS: Final = ("Posted", "Finalised", "Claimed", "Reclaimed", "Fallen")
_DISPUTE_EVENTS: Final = {"Opened": "opened", "DisputeLost": "lost", "DisputeClosed": "closed"}


class History:
    """What a board and a court have logged, by what it is about."""

    def __init__(self, contracts: Contracts, events: Sequence[Event]) -> None:
        """Take all events since the deployment."""
        self._client = contracts.client
        self._events: dict[tuple[str, bytes], Event] = {}
        self._times: dict[int, int] = {}
        for event in events:
            about = event.args.get("update") if event.name in _UPDATE_EVENTS else None
            about = event.args.get("dispute") if event.name in _DISPUTE_EVENTS else about
            self._events[event.name, about or event.args.get("job", b"")] = event

    def entry(self, name: str, about: bytes) -> dict[str, Any] | None:
        """Transaction, block and time of an event about a job, update or dispute; None if there is none."""
        event = self._events.get((name, about))
        if event is None:
            return None
        if event.block not in self._times:
            self._times[event.block] = self._client.block(event.block)[1]
        return {
            "transaction": _hex(event.transaction),
            "block": event.block,
            "time": self._times[event.block],
        }


def make_receipt(
    contracts: Contracts, view: ChainView, events: Sequence[Event], folder: JobFolder, fetched: Fetched
) -> dict[str, Any]:
    """Return the receipt, but for what is said of the weights' file (`save`).

    Args:
        contracts: verified.
        view: refreshed once; events: that this returned.
        fetched: the state.

    Raises:
        ChainError: the node failed.
    """
    job, history = folder.job, History(contracts, events)
    block_hash, now = contracts.client.block(view.block)
    updates = view.updates(job.job_id)
    disputes = [dispute for update in updates for dispute in view.disputes(update=update.update)]
    where = contracts.deployment
    return {
        "format": FORMAT,
        "job": {
            "id": _hex(job.job_id),
            "terms": [hex(word) for word in job.words()],
            "segments": job.geometry.segments,
            "final_segments": fetched.segments,
            "complete": fetched.segments == job.geometry.segments,
        },
        "chain": {
            "id": where.chain_id,
            "block": view.block,
            "hash": _hex(block_hash),
            "time": now,
            "contracts": {
                name: {"address": getattr(where, name), "sha256": "0x" + where.code[name]} for name in NAMES
            },
        },
        "opened": history.entry("JobOpened", job.job_id),
        "cancelled": history.entry("Cancelled", job.job_id),
        "refunded": history.entry("Refunded", job.job_id),
        "updates": [_update(update, job.clocks.opening, history) for update in updates],
        "disputes": [
            {
                "id": _hex(dispute.dispute),
                "update": _hex(dispute.update),
                "segment": dispute.segment,
                "challenger": _hex(dispute.challenger),
                "status": dispute.status.value,
                "transactions": {
                    word: history.entry(name, dispute.dispute) for name, word in _DISPUTE_EVENTS.items()
                },
            }
            for dispute in disputes
        ],
        "checks": _checks(fetched, updates),
        "made_by": {
            "gavel": version("gavel"),
            "torch": version("torch"),
            "python": platform.python_version(),
        },
    }


def _update(update: UpdateInfo, opening: int, history: History) -> dict[str, Any]:
    return {
        "id": _hex(update.update),
        "parent": _hex(update.parent),
        "trainer": _hex(update.trainer),
        "first_segment": update.first_segment,
        "segments": update.segments,
        "states": [_hex(state) for state in update.states],
        "deadline": update.deadline,
        "final_after": update.deadline + opening,
        "status": update.status.value,
        "transactions": {name.lower(): history.entry(name, update.update) for name in _UPDATE_EVENTS},
    }


def _checks(fetched: Fetched, updates: Sequence[UpdateInfo]) -> list[dict[str, str]]:
    fell = sum(1 for update in updates if update.status == UpdateStatus.FALLEN)
    first, last = fetched.replayed.start + 1, fetched.replayed.stop
    replayed = (
        f"segments {first} to {last} of {fetched.segments} computed here, bit for bit as posted"
        if fetched.replayed
        else f"none of {fetched.segments} segments was computed here; they are final by the chain's rules"
    )
    checks = [
        ("contract code and wiring", "chain", "as this version of gavel compiles it"),
        ("job folder", "hash", "hashes to the job id that the board holds"),
        ("state", "hash", f"from {fetched.source}; its root is the last final one, {_hex(fetched.root)}"),
        ("segments", "replay", replayed),
        ("disputes", "chain", f"{fell} updates of this job fell"),
        *(("store", "hash", f"passed over: {liar}") for liar in fetched.liars),
    ]
    return [{"what": what, "by": by, "result": result} for what, by, result in checks]


def receipt_path(weights: Path) -> Path:
    """Return where the receipt of a file of weights lies: ``model.safetensors`` -> ``model.receipt.json``."""
    return weights.with_name(weights.stem + SUFFIX)


def check_free(weights: Path) -> None:
    """Raise UsageError if weights or receipt are there already: what was paid for is not overwritten."""
    for path in (weights, receipt_path(weights)):
        if path.exists() or path.is_symlink():
            raise UsageError(
                f"{path} exists; name another file, or give --force to replace weights and receipt"
            )
    if not weights.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {weights.absolute().parent}; make it, or name another file")


def save(weights: Path, receipt: dict[str, Any], folder: JobFolder, fetched: Fetched) -> dict[str, Any]:
    """Write weights and receipt, both or neither, and return the finished receipt.

    Args:
        weights: path; `receipt_path` tells the other one.

    Raises:
        StorageError: they cannot be written; nothing is half-written.
    """
    from safetensors.torch import save as serialised

    tensors = named_tensors(folder, fetched.words)
    said = f"job {_hex(folder.job.job_id)} state {_hex(fetched.root)} segments {fetched.segments}"
    data = serialised(tensors, {"gavel": said})
    shapes = {name: {"shape": list(t.shape), "dtype": str(t.dtype)} for name, t in tensors.items()}
    complete = receipt | {
        "weights": {
            "file": weights.name,
            "bytes": len(data),
            "sha256": "0x" + sha256(data).hexdigest(),
            "state": _hex(fetched.root),
            "tensors": shapes,
        }
    }
    beside = receipt_path(weights)
    text = json.dumps(complete, indent=2, sort_keys=True) + "\n"
    replaced = beside.exists()
    try:
        with written(weights) as out, written(beside) as note:
            out.write(data)
            note.write(text.encode())
    except StorageError:
        if not replaced:
            beside.unlink(missing_ok=True)
        raise
    return complete


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
