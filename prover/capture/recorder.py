"""Watches the step while it is traced: lines of the user's code, and numbers that depend on the step."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final

import torch
from torch.fx import traceback
from torch.utils._python_dispatch import TorchDispatchMode

from prover.capture.noise import draws

DRAW: Final = "gavel draw"
"""Where a recorded operator's metadata holds the number of its draw."""

_TORCH = str(Path(torch.__file__).parent)
_CAPTURE = str(Path(__file__).parent)
_MODELS = tuple(str(Path(_TORCH) / part) for part in ("nn", "optim"))


class StepRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches every operator of the step on its way to the tracer.

    It notes the innermost line outside torch and this package (where there is none, the innermost line in
    torch.nn
    or torch.optim). And where a Python number that is not known yet (computed from `step.item()`) enters a
    tensor
    operator, it passes a stand-in: a number that occurs nowhere else, so that no kernel has to decide
    anything about
    it. The unknown numbers are collected, and the stand-ins lead back to them.

    Operators that draw random numbers are numbered in the order in which the step runs them (L-70).

    Attributes:
        numbers: by stand-in, the symbolic number that it stands for.
    """

    def __init__(self, run: int) -> None:
        """Make stand-ins of their own for each `run`, so that one that leaks into a program shows (L-9)."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers: dict[float, torch.SymFloat | torch.SymInt] = {}
        self._run = run
        self._draws = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run the operator with its line noted and unknown numbers replaced."""
        del types
        declared = func._schema.arguments  # type: ignore[attr-defined]
        is_number = {argument.name: "number" in str(argument.type) for argument in declared}
        plain = [self._known(a, is_number[d.name]) for d, a in zip(declared, args, strict=False)]
        options = {name: self._known(a, is_number[name]) for name, a in (kwargs or {}).items()}
        with traceback.preserve_node_meta():
            # The tracer copies this entry to the node that it records.
            traceback.current_meta["stack_trace"] = _line_of(_frames(sys._getframe(1)))
            if draws(func):
                traceback.current_meta["custom"] = {DRAW: self._draws}
                self._draws += 1
            return func(*plain, **options)

    def _known(self, value: Any, is_number: bool) -> Any:
        if isinstance(value, torch.SymFloat) or (is_number and isinstance(value, torch.SymInt)):
            whole = isinstance(value, torch.SymInt)
            noise = sha256(f"stand-in {self._run} {len(self.numbers)}".encode()).digest()
            stand_in = int.from_bytes(noise[:6], "big")
            number = float(stand_in % (1 << 30)) + (1 << 29) if whole else 0.125 + stand_in / (1 << 50)
            self.numbers[number] = value
            return int(number) if whole else number
        return value


def line_of_error(trace: TracebackType | None) -> str:
    """Return ``file:line`` of the user's code that an exception passed through, or an empty string."""
    places = []
    while trace is not None:
        places.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    return _line_of(reversed(places))


def _frames(frame: FrameType | None) -> Iterator[tuple[str, int]]:
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(_CAPTURE) and frame.f_code.co_name == "traced_step":
            return
        yield name, frame.f_lineno
        frame = frame.f_back


def _line_of(places: Iterable[tuple[str, int]]) -> str:
    fallback = ""
    for name, number in places:
        if name.startswith(("<", _CAPTURE)):
            continue
        place = f"{Path(name).name}:{number}"
        if not name.startswith((_TORCH, sys.base_prefix + "/lib")):
            return place
        if not fallback and name.startswith(_MODELS):
            fallback = place
    return fallback
