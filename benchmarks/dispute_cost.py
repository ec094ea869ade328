"""Transactions and gas of a dispute against model size; what fan-out, page and range cost (D-17, C-5, P-12).

    python -m benchmarks.dispute_cost [--json FILE] [--capture N]

Each dispute goes from a direct opening to `settle`, on the contracts as deployed, on py-evm, down to one
range of the longest sum of products of a training step. All gas is measured, but for pages of other sizes
than 64 words, which the contracts do not have: there the heights of the trees are measured, the bytes of
the pages computed. The geometry of the first rows is that of a captured program, of the others computed
(benchmarks/model_sizes.py).

Gas is counted with calldata at 16 and at 40 gas a byte that is not zero, a quarter of it for one that is;
*charged* is what a receipt says under Prague's rules.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.hashing import cpu_model
from benchmarks.model_sizes import SIZES, Shape, Size, captured, computed, pages_height
from benchmarks.snapshots import compiler
from benchmarks.whole_dispute import Sent, Word, play
from protocol.errors import MismatchError
from protocol.job import load_preset

PRESET = load_preset("full")
FANOUTS = (5, 7, 8, 9, 10)
PAGES = (32, 64, 128, 256)
RANGES = (2, 3, 4, 5)
MOST_ROWS = 256
RANGE_PAGES = 64  # that a proof may open (P-12)
PAGE_BYTES = 256

LOGGED, HASHED, COPIED = 8.0, 12 / 32, 3 / 32
"""Gas for each byte of a page that is logged, hashed, copied to memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one dispute.

    Attributes:
        transactions: from `open` to `settle`, both included.
        at_16, at_40: gas with calldata at so much a byte; charged: as a receipt says.
        largest: gas of the dearest transaction with calldata at 16; witness: bytes of calldata of the proof;
            longest: of the longest call.
    """

    transactions: int
    at_16: int
    at_40: int
    charged: int
    largest: int
    witness: int
    longest: int

    @classmethod
    def of(cls, sent: Sequence[Sent]) -> Cost:
        """Sum transactions up."""
        proof = next(tx for tx in sent if tx.name == "prove")
        return cls(
            transactions=len(sent),
            at_16=sum(tx.at(16) for tx in sent),
            at_40=sum(tx.at(40) for tx in sent),
            charged=sum(tx.charged for tx in sent),
            largest=max(tx.at(16) for tx in sent),
            witness=proof.zeros + proof.others,
            longest=max(tx.zeros + tx.others for tx in sent),
        )


def dispute(
    shape: Shape, *, fanout_log2: int, range_log2: int, strided: bool, tensor_height: int | None = None
) -> list[Sent]:
    """Play a dispute about the longest sum of products of a shape."""
    geometry = shape.geometry(fanout_log2=fanout_log2, range_log2=range_log2)
    if tensor_height is not None:
        geometry = replace(geometry, tensor_height=tensor_height)
    words = 64 << geometry.tensor_height
    rows = min(MOST_ROWS, words // shape.longest_fold, math.isqrt(words))
    word = Word(rows=rows, columns=rows, terms=shape.longest_fold, strided=strided)
    return play(geometry, word)


def by_size(shapes: Sequence[tuple[Size, str, Shape]]) -> Iterator[dict[str, object]]:
    """One row for each model and way of walking its operands, with the preset's choices."""
    for size, source, shape in shapes:
        for strided in (False, True):
            sent = dispute(
                shape, fanout_log2=PRESET.fanout_log2, range_log2=PRESET.range_log2, strided=strided
            )
            yield {
                "parameters": size.parameters,
                "operations_log2": round(math.log2(size.segment_operations), 1),
                "geometry": source,
                "nodes": shape.n_nodes,
                "H": pages_height(shape.largest_tensor, 64),
                "terms": shape.longest_fold,
                "operands": "strided" if strided else "contiguous",
                **asdict(Cost.of(sent)),
            }


def by_fanout(shapes: Sequence[tuple[Size, str, Shape]]) -> Iterator[dict[str, object]]:
    """Candidates for the fan-out of the lists, with contiguous operands."""
    for size, _, shape in (*shapes[2::2], shapes[-1]):
        for fanout in FANOUTS:
            sent = dispute(shape, fanout_log2=fanout, range_log2=PRESET.range_log2, strided=False)
            yield {"parameters": size.parameters, "fanout": 1 << fanout, **asdict(Cost.of(sent))}


def by_range(shapes: Sequence[tuple[Size, str, Shape]]) -> Iterator[dict[str, object]]:
    """Candidates for the terms of a range of two operands; P-12 allows 32."""
    for size, _, shape in (shapes[0], shapes[len(shapes) // 2], shapes[-1]):
        for log2 in RANGES:
            for strided in (False, True):
                sent = dispute(shape, fanout_log2=PRESET.fanout_log2, range_log2=log2, strided=strided)
                row = {"parameters": size.parameters, "terms": min(1 << log2, 32)}
                yield {**row, "operands": "strided" if strided else "contiguous", **asdict(Cost.of(sent))}


def by_page(shapes: Sequence[tuple[Size, str, Shape]]) -> Iterator[dict[str, object]]:
    """Candidates for the words of a page: a strided range, of one page for each term and operand."""
    pages = 2 * min(1 << PRESET.range_log2, 32)
    for size, _, shape in (shapes[0], shapes[len(shapes) // 2], shapes[-1]):
        for words in PAGES:
            height = pages_height(shape.largest_tensor, words)
            sent = dispute(
                shape,
                fanout_log2=PRESET.fanout_log2,
                range_log2=PRESET.range_log2,
                strided=True,
                tensor_height=height,
            )
            cost = Cost.of([with_pages(tx, words, pages) for tx in sent])
            yield {
                "parameters": size.parameters,
                "page": words,
                "H": height,
                "figures": "measured" if words == 64 else "heights measured, bytes computed",
                **asdict(cost),
                "largest_witness": RANGE_PAGES * (4 * words + 1 + 32 * 26),
                "hash_blocks_per_word": round((-(-(4 * words + 9) // 64) + 2) / words, 3),
            }


def with_pages(tx: Sent, words: int, opened: int) -> Sent:
    """The same transaction with pages of another size: their bytes, and the gas of logging and hashing them.

    Args:
        words: of a page; opened: pages of the proof.
    """
    pages, per_byte = {
        "reveal_page": (1, LOGGED + HASHED + COPIED),
        "select_word": (1, HASHED + COPIED),
        "prove": (opened, HASHED + COPIED),
    }.get(tx.name, (0, 0.0))
    more = pages * (4 * words - PAGE_BYTES)
    larger = replace(tx, others=tx.others + more, execution=tx.execution + int(more * per_byte))
    return replace(larger, charged=larger.at_prague)


TABLES: dict[str, Callable[[Sequence[tuple[Size, str, Shape]]], Iterator[dict[str, object]]]] = {
    "model size, with the choices of the preset full": by_size,
    "fan-out": by_fanout,
    "terms of a range": by_range,
    "words of a page": by_page,
}


def shown(rows: Sequence[dict[str, object]]) -> str:
    """A table in plain text."""
    cells = [list(rows[0]), *([f"{v:,}" if type(v) is int else str(v) for v in row.values()] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells
    )


def main() -> None:
    """Print the tables; write them as JSON where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the tables to a file too")
    parser.add_argument(
        "--capture", type=int, default=3, help="models to capture, smallest first (default 3)"
    )
    options = parser.parse_args()
    began = time.perf_counter()
    shapes = []
    for i, size in enumerate(SIZES):
        print(f"{size.parameters:,} parameters ...", file=sys.stderr)
        shape = computed(size)
        if i < options.capture and (found := captured(size)) != shape:
            raise MismatchError(f"captured {found}, computed {shape}; mend benchmarks/model_sizes.py")
        shapes.append((size, "captured" if i < options.capture else "computed", shape))
    tables = {}
    for title, rows in TABLES.items():
        tables[title] = list(rows(shapes))
        print(f"\n{title}\n\n{shown(tables[title])}", flush=True)
    if options.json:
        machine = {"cpu": cpu_model(), "system": platform.platform(), "python": platform.python_version()}
        report = {"compiler": compiler(), "machine": machine, "seconds": round(time.perf_counter() - began)}
        options.json.write_text(json.dumps({**report, "tables": tables}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
