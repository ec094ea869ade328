"""The state of a training as slots, and the optimizer's state before its first update (lowering.md, L-6).

An optimizer makes its state in its first step. To start from before that step, capture runs it once on
copies, notes
what each state tensor held when it was made, and checks that the first step from there gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from protocol.errors import UnsupportedError
from prover.capture.isolation import Training

_SEED = 0x6A7E1


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerSlot:
    """A value that the optimizer carries from step to step.

    Attributes:
        parameter: number of the parameter it belongs to, or None for an option of a group.
        group: number of the group, for options.
        key: name in the optimizer's state of that parameter, or of the option.
        name: unique name of the slot.
        initial: before the first step; a Python integer is held as an int64 scalar.
        is_number: whether the optimizer holds it as a Python integer.
    """

    parameter: int | None
    group: int
    key: str
    name: str
    initial: Tensor
    is_number: bool

    def store(self, training: Training, parameters: Sequence[Tensor], value: Any) -> None:
        """Put a value where the optimizer looks for it."""
        if self.parameter is None:
            training.optimizer.param_groups[self.group][self.key] = value
        else:
            training.optimizer.state[parameters[self.parameter]][self.key] = value

    def load(self, training: Training, parameters: Sequence[Tensor]) -> Any:
        """Return the value that the optimizer holds now."""
        if self.parameter is None:
            return training.optimizer.param_groups[self.group][self.key]
        return training.optimizer.state[parameters[self.parameter]][self.key]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerState:
    """Everything in `optimizer.state` before the first update.

    Attributes:
        slots: what changes, tensors and integers.
        constants: per parameter what does not change (None, bools, numbers), by key, in the optimizer's
            order.
        keys: per parameter the order of its keys.
        first_differs: no state gives the first step, so that step is recorded by itself (L-6).
    """

    slots: tuple[OptimizerSlot, ...]
    constants: dict[tuple[int, str], Any]
    keys: dict[int, tuple[str, ...]]
    first_differs: bool = False

    def install_nothing(self, training: Training) -> None:
        """Leave the optimizer as it is before its first step: options alone."""
        training.optimizer.state.clear()
        for slot in self.slots:
            if slot.parameter is None:
                slot.store(training, (), int(slot.initial) if slot.is_number else slot.initial)

    def install(self, training: Training, parameters: Sequence[Tensor], values: Sequence[Any]) -> None:
        """Give the optimizer this state over these parameters, slot values as given."""
        state = training.optimizer.state
        state.clear()
        for number, keys in self.keys.items():
            state[parameters[number]] = {key: self.constants.get((number, key)) for key in keys}
        for slot, value in zip(self.slots, values, strict=True):
            slot.store(training, parameters, value)


def optimizer_state(training: Training, backward: Callable[[Training], None]) -> OptimizerState:
    """Return the optimizer's state before its first update.

    Args:
        training: is not changed.
        backward: runs one forward and backward pass, to learn which parameters have gradients.

    Raises:
        UnsupportedError: the first step is not an ordinary step from any state, or the state is not made of
            tensors and integers.
    """
    names = list(training.parameters)
    probe = training.copy()
    backward(probe)
    graded = [p.grad is not None for p in probe.parameters.values()]
    before = _leaves(training, names)
    one, made_one = _first_step(training, graded, _SEED)
    _, made_two = _first_step(training, graded, _SEED + 1)
    after = _leaves(one, names)
    slots: list[OptimizerSlot] = []
    constants: dict[tuple[int, str], Any] = {}
    keys: dict[int, tuple[str, ...]] = {}
    for key, value in after.items():
        parameter, group, name = key
        if parameter is not None:
            keys[parameter] = (*keys.get(parameter, ()), name)
        label = f"optimizer.{names[parameter] if parameter is not None else f'group{group}'}.{name}"
        initial = _initial(
            label, before.get(key, None), key in before, value, made_one.get(key), made_two.get(key)
        )
        if initial is None:
            if parameter is not None:
                constants[parameter, name] = value
            continue
        slots.append(
            OptimizerSlot(
                parameter=parameter,
                group=group,
                key=name,
                name=label,
                initial=initial,
                is_number=not isinstance(value, Tensor),
            )
        )
    state = OptimizerState(slots=tuple(slots), constants=constants, keys=keys)
    different = _first_difference(training, state, graded, one)
    if different and training.optimizer.state:
        raise UnsupportedError(
            f"the next step of {type(training.optimizer).__name__} is not one from the state that it holds "
            f"({different} differs); give the job an optimizer that has not stepped yet"
        )
    return replace(state, first_differs=bool(different))


_Leaf: TypeAlias = tuple[int | None, int, str]


def _leaves(training: Training, names: Sequence[str]) -> dict[_Leaf, Any]:
    """Every value in the optimizer's state and group options, by parameter or group and key."""
    numbers = {id(p): i for i, p in enumerate(training.parameters.values())}
    found: dict[_Leaf, Any] = {}
    for parameter, entries in training.optimizer.state.items():
        if id(parameter) not in numbers or not isinstance(entries, dict):
            raise UnsupportedError(
                f"{type(training.optimizer).__name__} keeps state that does not belong to one parameter; "
                f"keep it in optimizer.state[p] as tensors or integers ({len(names)} parameters are known)"
            )
        for key, value in entries.items():
            found[numbers[id(parameter)], 0, str(key)] = value
    for i, group in enumerate(training.optimizer.param_groups):
        for key, value in group.items():
            if key != "params":
                found[None, i, str(key)] = value
    return found


def _initial(
    label: str, before: Any, existed: bool, after: Any, first: Tensor | None, second: Tensor | None
) -> Tensor | None:
    """What a slot holds before the first step; None for a value that is no slot."""
    if isinstance(after, Tensor):
        if existed and isinstance(before, Tensor):
            if label.startswith("optimizer.group"):
                raise UnsupportedError(f"{label} is a tensor; give the option as a Python number")
            return before.detach().clone()
        if first is not None and second is not None and torch.equal(first, second):
            return first
        return torch.zeros_like(after)
    if isinstance(after, (dict, list)) and any(isinstance(v, Tensor) for v in _values(after)):
        raise UnsupportedError(f"{label} is a container of tensors; keep each tensor under its own key")
    if isinstance(after, int) and not isinstance(after, bool):
        if existed and before == after and label.startswith("optimizer.group"):
            return None
        return torch.tensor(before if existed else 0, dtype=torch.int64)
    if existed and before != after:
        raise UnsupportedError(
            f"{label} goes from {before!r} to {after!r} in one step; only tensors and integers can be "
            "state. Keep it as a float32 tensor, or compute it from a step counter"
        )
    return None


def _values(container: Any) -> list[Any]:
    return list(container.values()) if isinstance(container, dict) else list(container)


class _FirstValues(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps a copy of what each storage held when an operator first returned it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.values: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        del types
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor):
                key = tensor.untyped_storage()._cdata
                if key not in self.values:
                    self.values[key] = (
                        tensor,
                        tensor.detach().clone(),
                    )  # holding it keeps the key from reuse
        return result


def _first_step(
    training: Training, graded: Sequence[bool], seed: int
) -> tuple[Training, dict[_Leaf, Tensor]]:
    """Run the first update on a copy, with random gradients; also what its state tensors first held."""
    run = training.copy()
    _random_gradients(run, graded, seed)
    with _FirstValues() as watch:
        try:
            run.optimizer.step()
        except (RuntimeError, AssertionError, ValueError, TypeError) as error:
            raise UnsupportedError(
                f"{type(run.optimizer).__name__} does not step in plain PyTorch on the CPU: {error}"
            ) from error
    made = {}
    for key, value in _leaves(run, ()).items():
        if isinstance(value, Tensor):
            held = watch.values.get(value.untyped_storage()._cdata)
            if held is not None and held[1].shape == value.shape:
                made[key] = held[1]
    return run, made


def _random_gradients(training: Training, graded: Sequence[bool], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter, has in zip(training.parameters.values(), graded, strict=True):
        if has:
            parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter.dtype)


def _first_difference(
    training: Training, state: OptimizerState, graded: Sequence[bool], expected: Training
) -> str:
    """Where the first step from the state found ends elsewhere than the optimizer's own; empty if nowhere."""
    run = training.copy()
    parameters: list[nn.Parameter] = list(run.parameters.values())
    _random_gradients(run, graded, _SEED)
    values = [int(s.initial) if s.is_number else s.initial.clone() for s in state.slots]
    state.install(run, parameters, values)
    run.optimizer.step()
    theirs = list(expected.parameters.values())
    pairs = [(f"parameter {n}", a, b) for n, a, b in zip(run.parameters, parameters, theirs, strict=True)]
    pairs += [(s.name, s.load(run, parameters), s.load(expected, theirs)) for s in state.slots]
    for name, mine, other in pairs:
        same = torch.equal(mine, other) if isinstance(mine, Tensor) else mine == other
        if not same:
            return name
    return ""
