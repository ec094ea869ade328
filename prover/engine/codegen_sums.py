"""Source text of the kernels of sum folds, a few per code (numerics.md, N-9).

Sums are held in binary64 with the error of every addition (TwoSum); `sums.finish_sum` rounds them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from protocol.numerics.opcodes import ARITY, Op
from prover.engine import store
from prover.engine.codegen import HEADER, indent

LANES: Final = 256
"""Outputs that a fold over outer loops keeps in flight."""


_SCATTER: Final = bytes([0, 1, Op.IEQ, 2, 3, Op.SELECT])
"""A term if it belongs here, else a constant: the gradient of a gather."""


class SumKernels:
    """Generated kernels of one sum code; each is compiled when it is first asked for.

    ``code`` is renumbered so that its leaves are 0, 1, ... in order of first use; those are the operands.
    """

    def __init__(self, code: bytes) -> None:
        """Raises ValueError on a code that is not well-formed (N-9); callers have checked."""
        self.code = code
        self.operands = 1 + max((op for op in code if op <= Op.LEAF3), default=-1)
        self._kernels: dict[tuple[str, str], Callable[..., int]] = {}
        self.entries = len(_entries(code))

    def over_terms(self, pattern: str) -> Callable[..., int]:
        """``f(out, operand, ..., layout, index, count, flagged) -> n``: outputs one by one, four chains.

        ``pattern`` has a "1" for each operand that the innermost fold loop walks word by word, else "s". With
        count >= 0 only outputs index[:count] are computed. What the certificate leaves open is listed.
        """
        return self._get("terms", pattern)

    def over_outputs(self, pattern: str) -> Callable[..., int]:
        """The same (index and count unused), with the last output loop in vector lanes.

        ``pattern``: per operand "1", "0" or "s", its stride along the last output loop.
        """
        return self._get("outputs", pattern)

    def over_points(self) -> Callable[..., int]:
        """As `over_outputs`, for few terms: outputs in vector lanes, however their operands lie."""
        return self._get("points", "s" * self.operands)

    def over_lanes(self, pattern: str) -> Callable[..., int]:
        """As `over_terms`, for long innermost fold loops: LANES chains, which run in vector lanes.

        ``pattern``: per operand "1" or "0", its stride along the innermost fold loop.
        """
        return self._get("lanes", pattern)

    def exactly(self) -> Callable[..., int]:
        """``f(out, operand, ..., layout, index, count, scratch)``: outputs index[:count], tier 3.

        ``scratch`` is float64[entries * K].
        """
        return self._get("exact", "s" * self.operands)

    def _get(self, variant: str, pattern: str) -> Callable[..., int]:
        key = (variant, pattern)
        if key not in self._kernels:
            make: dict[str, Any] = {
                "terms": self._terms_source,
                "lanes": self._lanes_source,
                "outputs": self._outputs_source,
                "points": self._points_source,
                "exact": self._exact_source,
            }
            self._kernels[key] = store.load(HEADER + make[variant](pattern)).run
        return self._kernels[key]

    @property
    def _arguments(self) -> str:
        return "".join(f"a{q}, " for q in range(self.operands))

    def _start(self) -> str:
        text = ""
        for q in range(self.operands):
            at = 20 + 17 * q
            text += f"v{q} = a{q}.view(np.float32)\n"
            text += f"k{q} = layout[{at + 9} + n_fold - 1]\n"
        return (
            "n_out = layout[0]\nn_fold = layout[9]\nrows = layout[18]\nterms = layout[19]\n"
            "inner = layout[10 + n_fold - 1]\ncounter = np.zeros(8, np.int64)\nflags = np.int64(0)\n" + text
        )

    def _locate(self, first_loop: str) -> str:
        """Addresses of output ``left``, whose loops first_loop, first_loop - 1, ... are counted by it."""
        text = "".join(f"i{q} = layout[{20 + 17 * q}]\n" for q in range(self.operands))
        text += f"for d in range({first_loop}, -1, -1):\n    size = layout[1 + d]\n"
        text += "    turn = left % size\n    left = left // size\n"
        for q in range(self.operands):
            text += f"    i{q} += turn * layout[{21 + 17 * q} + d]\n"
        return text

    def _advance(self, first_loop: str) -> str:
        """Go to the next fold index, counting up from first_loop outwards."""
        text = f"loop = {first_loop}\nwhile loop >= 0:\n    counter[loop] += 1\n"
        text += "    if counter[loop] < layout[10 + loop]:\n"
        for q in range(self.operands):
            text += f"        i{q} += layout[{29 + 17 * q} + loop]\n"
        text += "        break\n    turns = 1 - counter[loop]\n"
        for q in range(self.operands):
            text += f"    i{q} += turns * layout[{29 + 17 * q} + loop]\n"
        return text + "    counter[loop] = 0\n    loop -= 1\n"

    def _terms_source(self, pattern: str) -> str:
        chains = range(4)
        body = "".join(f"s{c} = 0.0\ne{c} = 0.0\nm{c} = 0.0\n" for c in chains)
        inner = "whole = inner - inner % 4\n"
        for q, kind in enumerate(pattern):
            if kind == "1":
                inner += f"p{q} = v{q}[i{q} : i{q} + inner]\nw{q} = a{q}[i{q} : i{q} + inner]\n"
        loads = {
            q: (f"p{q}[J]", f"w{q}[J]") if kind == "1" else _strided(q) for q, kind in enumerate(pattern)
        }
        inner += "for j in range(0, whole, 4):\n"
        for c in chains:
            inner += indent(_two_sum(self.code, loads, f"j + {c}", f"s{c}", f"e{c}", f"m{c}"), 4)
        inner += "for j in range(whole, inner):\n"
        inner += indent(_two_sum(self.code, loads, "j", "s0", "e0", "m0"), 4)
        inner += self._advance("n_fold - 2")
        body += "done = np.int64(0)\nwhile done < terms:\n" + indent(inner + "done += inner\n", 4)
        for c in chains[1:]:
            body += _add(f"s{c}", "s0", "e0", "m0") + f"e0 += e{c}\nm0 += m{c}\n"
        return self._one_by_one("", body)

    def _lanes_source(self, pattern: str) -> str:
        slices = ""
        for q, kind in enumerate(pattern):
            if kind == "1":
                slices += f"p{q} = v{q}[i{q} + first : i{q} + first + width]\n"
                slices += f"w{q} = a{q}[i{q} + first : i{q} + first + width]\n"
            else:
                slices += f"p{q} = v{q}[i{q}]\nw{q} = a{q}[i{q}]\n"
        loads = {
            q: (f"p{q}[J]", f"w{q}[J]") if kind == "1" else (f"p{q}", f"w{q}")
            for q, kind in enumerate(pattern)
        }
        block = "width = min(inner - first, lanes)\n" + slices + self._add_lanes(loads)
        inner = "for first in range(0, inner, lanes):\n" + indent(block, 4) + self._advance("n_fold - 2")
        body = "sums[:] = 0.0\nerrors[:] = 0.0\nsizes[:] = 0.0\n"
        body += "done = np.int64(0)\nwhile done < terms:\n" + indent(inner + "done += inner\n", 4)
        body += "s0 = 0.0\ne0 = 0.0\nm0 = 0.0\nfor j in range(lanes):\n"
        body += indent(_add("sums[j]", "s0", "e0", "m0") + "e0 += errors[j]\nm0 += sizes[j]\n", 4)
        start = f"lanes = min(np.int64({LANES}), inner)\n"
        start += "".join(f"{name} = np.empty(lanes, np.float64)\n" for name in ("sums", "errors", "sizes"))
        return self._one_by_one(start, body, more=LANES)

    def _one_by_one(self, start: str, body: str, *, more: int = 0) -> str:
        """A kernel whose body sums one output into s0, e0, m0; ``more`` additions than terms."""
        count = f"terms * {max(self.entries, 1)} + {more}"
        body += f"word, ok = finish_sum(s0, e0, m0, {count})\nout[o] = word\n"
        body += "if not ok:\n    flagged[flags] = o\n    flags += 1\n"
        loop = "whole_node = count < 0\ntotal = rows if whole_node else count\nfor n in range(total):\n"
        loop += "    o = np.int64(n)\n    if not whole_node:\n        o = index[n]\n    left = o\n"
        loop += indent(self._locate("n_out - 1") + body, 4) + "return flags\n"
        return f"\n@kernel\ndef run(out, {self._arguments}layout, index, count, flagged):\n" + indent(
            self._start() + start + loop, 4
        )

    def _outputs_source(self, pattern: str) -> str:
        locate = "left = np.int64(row)\n" + self._locate("n_out - 2")
        lanes = ""
        for q, kind in enumerate(pattern):
            if kind == "1":
                lanes += f"p{q} = v{q}[i{q} + first : i{q} + first + width]\n"
                lanes += f"w{q} = a{q}[i{q} + first : i{q} + first + width]\n"
            elif kind == "0":
                lanes += f"p{q} = v{q}[i{q}]\nw{q} = a{q}[i{q}]\n"
        forms = {
            "1": ("p{q}[J]", "w{q}[J]"),
            "0": ("p{q}", "w{q}"),
            "s": ("v{q}[np.uint64(i{q} + (first + J) * o{q})]", "a{q}[np.uint64(i{q} + (first + J) * o{q})]"),
        }
        loads = {
            q: (forms[kind][0].format(q=q), forms[kind][1].format(q=q)) for q, kind in enumerate(pattern)
        }
        added = self._add_lanes(loads)
        if self.code == _SCATTER and pattern[0] + pattern[1] + pattern[3] == "000":
            # A term that is not this row's adds +0 to every lane, which changes none: no sum is -0.
            added = "if w0 == w1 or w3 != np.uint32(0):\n" + indent(added, 4)
        lanes += added
        block = "width = min(last - first, lanes)\nsums[:] = 0.0\nerrors[:] = 0.0\nsizes[:] = 0.0\n"
        block += "for _ in range(terms):\n" + indent(lanes + self._advance("n_fold - 1"), 4)
        block += self._finish("row * last + first")
        start = f"lanes = np.int64({LANES})\nlast = layout[n_out]\n"
        start += "".join(f"o{q} = layout[{21 + 17 * q} + n_out - 1]\n" for q in range(self.operands))
        start += "".join(f"{name} = np.empty(lanes, np.float64)\n" for name in ("sums", "errors", "sizes"))
        loop = "for row in range(rows // last):\n" + indent(locate, 4)
        loop += "    for first in range(0, last, lanes):\n" + indent(block, 8) + "return flags\n"
        return f"\n@kernel\ndef run(out, {self._arguments}layout, index, count, flagged):\n" + indent(
            self._start() + start + loop, 4
        )

    def _points_source(self, _pattern: str) -> str:
        fill = "done = np.int64(0)\nwhile done < width:\n    row = (first + done) // last\n"
        fill += "    begin = first + done - row * last\n    piece = min(last - begin, width - done)\n"
        fill += "    left = row\n" + indent(self._locate("n_out - 2"), 4) + "    for j in range(piece):\n"
        for q in range(self.operands):
            fill += f"        b{q}[done + j] = i{q} + (begin + j) * o{q}\n"
        fill += "    done += piece\n"
        loads = {
            q: (f"v{q}[np.uint64(b{q}[J] + i{q})]", f"a{q}[np.uint64(b{q}[J] + i{q})]")
            for q in range(self.operands)
        }
        block = "width = min(rows - first, lanes)\n" + fill
        block += "sums[:] = 0.0\nerrors[:] = 0.0\nsizes[:] = 0.0\n"
        block += "".join(f"i{q} = np.int64(0)\n" for q in range(self.operands)) + "for _ in range(terms):\n"
        block += indent(self._add_lanes(loads) + self._advance("n_fold - 1"), 4) + self._finish("first")
        start = f"lanes = np.int64({LANES})\nlast = layout[n_out]\n"
        for q in range(self.operands):
            start += f"o{q} = layout[{21 + 17 * q} + n_out - 1]\nb{q} = np.empty(lanes, np.int64)\n"
        start += "".join(f"{name} = np.empty(lanes, np.float64)\n" for name in ("sums", "errors", "sizes"))
        loop = "for first in range(0, rows, lanes):\n" + indent(block, 4) + "return flags\n"
        return f"\n@kernel\ndef run(out, {self._arguments}layout, index, count, flagged):\n" + indent(
            self._start() + start + loop, 4
        )

    def _add_lanes(self, loads: dict[int, tuple[str, str]]) -> str:
        """Add one term to each lane."""
        text = "for j in range(width):\n    s = sums[j]\n    e = errors[j]\n    m = sizes[j]\n"
        text += indent(_two_sum(self.code, loads, "j", "s", "e", "m"), 4)
        return text + "    sums[j] = s\n    errors[j] = e\n    sizes[j] = m\n"

    def _finish(self, start: str) -> str:
        """Write the outputs of all lanes, ``start`` and those after it; list what is not certified."""
        count = f"terms * {max(self.entries, 1)}"
        return (
            f"start = {start}\n"
            f"if finish_sums(out[start : start + width], sums, errors, sizes, {count}, width) > 0:\n"
            "    for j in range(width):\n"
            f"        word, ok = finish_sum(sums[j], errors[j], sizes[j], {count})\n"
            "        if not ok:\n            flagged[flags] = start + j\n            flags += 1\n"
        )

    def _exact_source(self, pattern: str) -> str:
        loads = {q: _strided(q) for q in range(len(pattern))}
        statements, values = _term(self.code, loads, "j")
        inner = "for j in range(inner):\n" + indent(statements, 4)
        for value in values:
            inner += f"    scratch[used] = {value}\n    used += 1\n"
        inner += "    pass\n" + self._advance("n_fold - 2")
        body = "used = np.int64(0)\ndone = np.int64(0)\nwhile done < terms:\n"
        body += indent(inner + "done += inner\n", 4) + "out[o] = exact_sum(scratch, used)\n"
        loop = "for n in range(count):\n    o = index[n]\n    left = o\n"
        loop += indent(self._locate("n_out - 1") + body, 4) + "return flags\n"
        return f"\n@kernel\ndef run(out, {self._arguments}layout, index, count, scratch):\n" + indent(
            self._start() + loop, 4
        )


@cache
def sum_kernels(code: bytes) -> SumKernels:
    """The kernels of a renumbered sum code, shared by all nodes that have it."""
    return SumKernels(code)


def _add(value: str, s: str, e: str, m: str) -> str:
    """Knuth's TwoSum of s and a value; the error term goes into e and its magnitude into m."""
    return (
        f"new = {value}\nsum_ = {s} + new\nback = sum_ - {s}\nerror = ({s} - (sum_ - back)) + (new - back)\n"
        f"{e} += error\n{m} += abs(error)\n{s} = sum_\n"
    )


def _two_sum(code: bytes, loads: dict[int, tuple[str, str]], j: str, s: str, e: str, m: str) -> str:
    statements, values = _term(code, loads, j)
    return statements + ("".join(_add(value, s, e, m) for value in values) or "pass\n")


def _term(code: bytes, loads: dict[int, tuple[str, str]], j: str) -> tuple[str, list[str]]:  # noqa: C901
    """Statements that evaluate one term, and the binary64 names of what it adds (N-9)."""
    statements = ""
    stack: list[tuple[str, str]] = []
    fresh = iter(range(100))

    def name(expression: str) -> str:
        nonlocal statements
        new = f"t{next(fresh)}"
        statements += f"{new} = {expression}\n"
        return new

    def exact(entry: tuple[str, str]) -> str:
        kind, text = entry
        if kind == "leaf":
            return name(f"np.float64({loads[int(text)][0].replace('J', j)})")
        return name(f"np.float64(np.uint32({text}).view(np.float32))") if kind == "word" else text

    def word(entry: tuple[str, str]) -> str:
        kind, text = entry
        return name(loads[int(text)][1].replace("J", j)) if kind == "leaf" else text

    for op in code:
        if op <= Op.LEAF3:
            stack.append(("leaf", str(op)))
            continue
        arguments = [stack.pop() for _ in range(ARITY[op])][::-1]
        if op == Op.MUL:
            stack.append(("exact", name(f"{exact(arguments[0])} * {exact(arguments[1])}")))
        elif op == Op.NEG:
            stack.append(("exact", name(f"-{exact(arguments[0])}")))
        elif op == Op.I2F:
            stack.append(("exact", name(f"np.float64(np.int32({word(arguments[0])}))")))
        elif op == Op.IEQ:
            test = f"{word(arguments[0])} == {word(arguments[1])}"
            stack.append(("word", name(f"np.uint32(1) if {test} else np.uint32(0)")))
        elif op == Op.ILT:
            test = f"np.int32({word(arguments[0])}) < np.int32({word(arguments[1])})"
            stack.append(("word", name(f"np.uint32(1) if {test} else np.uint32(0)")))
        elif op == Op.SELECT:
            condition, *choices = arguments
            kind = "exact" if any(choice[0] == "exact" for choice in choices) else "word"
            a, b = (exact(choice) if kind == "exact" else word(choice) for choice in choices)
            stack.append((kind, name(f"{a} if {word(condition)} != np.uint32(0) else {b}")))
    values = [exact(entry) for entry in stack]
    return statements, values


def _strided(q: int) -> tuple[str, str]:
    """Loads of operand q, as number and as word, at fold index J of the innermost fold loop."""
    return f"v{q}[np.uint64(i{q} + (J) * k{q})]", f"a{q}[np.uint64(i{q} + (J) * k{q})]"


def _entries(code: bytes) -> list[str]:
    leaves = dict.fromkeys(range(4), ("", ""))
    return _term(code, leaves, "")[1]
