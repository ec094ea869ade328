"""Every operator family, forward and backward, against eager PyTorch; several operators to a program."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from protocol.program.interpreter import Interpreter
from protocol.program.lint import check_program, check_values
from prover.capture import capture, check_against_eager

Rule = Callable[[Tensor], Tensor]
ROWS = torch.tensor([2, 0, 3, 2])
LABELS = torch.tensor([0, 1, 2, 1, 0])
SHUFFLED = torch.tensor([[1, 0, 3, 2]]).expand(5, 4)


def pairs(h: Tensor) -> Tensor:
    """[5, 4] as [1, 5, 2, 2]."""
    return h.view(1, -1, 2, 2)


def written(h: Tensor) -> Tensor:
    """Slices and rows overwritten in place."""
    canvas = torch.zeros_like(h)
    canvas[:, 1:3] = h[:, :2] * 2
    canvas[0] = h[1]
    canvas[:, ::3] += 1
    return canvas


FAMILIES: dict[str, list[Rule]] = {
    "arithmetic": [
        lambda h: torch.add(h, h * h, alpha=-0.3) - torch.sub(2, h, alpha=3),
        lambda h: 1 / (h * h + 1) + (h * h + 1).rsqrt() + (h * h + 2).log() + h.exp().sqrt(),
        lambda h: (h * h + 1) ** -0.5 + (h * h + 1) ** 1.5 + h**3 - h**4 + h**0,
        lambda h: (h * h + 1) ** 2.3 + (h * h + 1) ** -0.7 + h**7 - (h + 9) ** -6 + 1.5**h,
        lambda h: torch.addcmul(h, h, h, value=0.5) + torch.addcdiv(h, h, h * h + 1, value=-2),
        lambda h: h.lerp(h * 2, 0.3) + h.lerp(h * 2, 0.7),
    ],
    "piecewise": [
        lambda h: h.clamp(-0.5, 0.5) + h.clamp(min=0.1) + torch.maximum(h, -h) * torch.minimum(h, h * h),
        lambda h: torch.where((h > 0) & ~(h >= 1) | (h < -1), h, h * h).masked_fill(h <= -0.9, 0.3),
        lambda h: torch.sign(h) * h + h.abs() * (h != 0),
        lambda h: F.relu6(h) + F.leaky_relu(h, 0.2) + F.threshold(h, 0.1, 0.0),
    ],
    "activations": [
        lambda h: torch.tanh(h) + torch.sigmoid(h) + F.silu(h) + F.gelu(h, approximate="tanh"),
        lambda h: F.softplus(h, beta=2) + F.elu(h, 0.7) + F.selu(h) + F.logsigmoid(h),
        lambda h: F.softmax(h, 1) + F.log_softmax(h, 0) + F.softsign(h),
        lambda h: F.gelu(h) + F.hardswish(h * 3) + F.hardsigmoid(h * 3) + F.mish(h) + F.celu(h, 0.5),
        lambda h: F.softshrink(h, 0.3) + F.hardshrink(h, 0.4) + F.glu(h, 1).repeat(1, 2) + F.tanhshrink(h),
        lambda h: torch.sin(h) + torch.cos(h) + torch.erf(h) + torch.expm1(h) + torch.log1p(h * h),
        lambda h: torch.exp2(h) + torch.log2(h * h + 1) + torch.log10(h * h + 2) + torch.erfc(h) + h.tan(),
    ],
    "reductions": [
        lambda h: h - h.mean(0) + h * h.var(1, keepdim=True) / h.std() + h.sum((0, 1)),
        lambda h: h - h.amax(1, keepdim=True) + h.amin(0) + h.max(1, keepdim=True)[0] + h.min(0)[0],
        lambda h: h * (h.argmax(1, keepdim=True) == 1) + h.cumsum(1) - h.cumsum(0),
        lambda h: torch.logsumexp(h, 1) + h.norm() + h.abs().sum(1) + torch.var_mean(h, 1)[0],
    ],
    "products": [
        lambda h: torch.bmm(h.view(-1, 2, 2), h.view(-1, 2, 2).transpose(1, 2)),
        lambda h: h.view(-1, 1, 2, 2) @ h.view(1, -1, 2, 2),
        lambda h: torch.einsum("bi,bj->bij", h, h) + torch.outer(h[:, 0], h[:, 1]).sum(),
        lambda h: torch.mv(h, h[0]) + torch.dot(h[:, 0], h[:, 1]),
        lambda h: F.scaled_dot_product_attention(pairs(h), pairs(h), pairs(h), is_causal=True),
    ],
    "layout": [
        lambda h: h[:, 1:] + h[:, :-1] + h[0, 1] * h[:, 2:3],
        lambda h: h[::2, 1::2].expand(2, 3, 2) + h.t().reshape(-1, 2)[:3],
        lambda h: torch.stack([h, h * h], 1).permute(2, 0, 1).reshape(-1, 5)[1:, ::2],
        lambda h: torch.cat([h, h * 2, h[:, :1]], 1).chunk(3, 1)[2] + h.split(3, 1)[1] + sum(h.unbind(1))[0],
        lambda h: F.pad(h, (1, 2), value=0.5)[:, ::2] + F.pad(h, (-1, 1))[:, :2].repeat(1, 2),
        lambda h: h.flip(1).roll(1, 0) + h.tril() - h.triu(1) + h * torch.arange(4) * torch.arange(2.0, 6.0),
        written,
    ],
    "indices": [
        lambda h: h[:, ROWS] + h[ROWS].sum(0) + h.index_select(1, ROWS),
        lambda h: h[ROWS, SHUFFLED[:4, 0]] * h[:4, -1] + h[torch.tensor([-1, 0, -5, 2]), torch.arange(4)],
        lambda h: (
            h.view(5, 2, 2)[:, ROWS.clamp(max=1), torch.tensor([0, -1, 1, 1])]
            + h.unsqueeze(1)[ROWS, :, ROWS][0, 0]
        ),
        lambda h: F.embedding_bag(torch.tensor([[1, 3], [1, 1]]), h, mode="mean"),
        lambda h: F.embedding_bag(torch.tensor([[1, 3, 0]]), h * h, mode="sum"),
        lambda h: h.gather(1, SHUFFLED) + torch.zeros(5, 4).scatter_add(1, SHUFFLED, h),
        lambda h: F.embedding(torch.tensor([[1, 3], [1, 1]]), h, padding_idx=3),
        lambda h: h * F.one_hot(torch.arange(4), 4).float().sum(0) + h.scatter(1, ROWS[:1].expand(5, 1), 0.5),
    ],
    "class losses": [
        lambda h: F.cross_entropy(h, LABELS) + F.cross_entropy(h, LABELS, ignore_index=1),
        lambda h: F.cross_entropy(h, torch.tensor([0, -100, 2, 1, 3])),
        lambda h: F.cross_entropy(h, LABELS, weight=torch.tensor([0.1, 0.2, 0.3, 0.4])),
        lambda h: F.cross_entropy(h, LABELS, reduction="none") ** 2,
        lambda h: F.cross_entropy(h, LABELS, reduction="sum", label_smoothing=0.1),
        lambda h: F.cross_entropy(h, torch.tensor([0, -1, 2, 1, 3]), ignore_index=-1, label_smoothing=0.2),
        lambda h: (
            F.cross_entropy(h.view(1, 5, 2, 2), LABELS[:4].view(1, 2, 2)) + F.cross_entropy(h, h.softmax(1))
        ),
        lambda h: F.nll_loss(h.view(1, 5, 4), LABELS[:4].view(1, 4), reduction="sum"),
    ],
    "other losses": [
        lambda h: F.mse_loss(h, h.detach() * 2) + F.mse_loss(h, h.detach(), reduction="sum"),
        lambda h: F.huber_loss(h, h.detach() * 3, delta=0.5) + F.smooth_l1_loss(h, h.detach() * 3, beta=0.7),
        lambda h: F.l1_loss(h, h.detach() * 2) + F.kl_div(h.log_softmax(1), h.detach().softmax(1)),
        lambda h: F.binary_cross_entropy_with_logits(h, (h.detach() > 0).float()),
        lambda h: F.binary_cross_entropy_with_logits(
            h, h.detach().abs().clamp(max=1), pos_weight=torch.tensor(2.0)
        ),
        lambda h: F.kl_div(
            h.log_softmax(1), h.detach().log_softmax(1), log_target=True, reduction="batchmean"
        ),
        lambda h: F.poisson_nll_loss(h, h.detach().abs()),
        lambda h: F.margin_ranking_loss(h, h.detach() * 2, torch.ones(5, 4), margin=0.3),
        lambda h: F.cosine_embedding_loss(h, h.detach() * 2 + 1, torch.tensor([1, -1, 1, 1, -1])),
        lambda h: (
            F.triplet_margin_loss(h, h.detach() * 2, h.flip(0)) + F.hinge_embedding_loss(h, h.detach().sign())
        ),
        lambda h: F.binary_cross_entropy(h.sigmoid(), (h.detach() > 0).float()),
    ],
    "normalisation": [
        lambda h: F.layer_norm(h, (4,)) * h,
        lambda h: F.batch_norm(h, None, None, training=True) * h,
        lambda h: F.group_norm(h, 2) * h,
        lambda h: F.normalize(h, dim=1) * torch.arange(4.0),
    ],
    "windows": [
        lambda h: F.conv1d(h.view(1, 1, -1), h[:1, :3].reshape(1, 1, 3), stride=2, padding=1),
        lambda h: F.conv2d(h.view(1, 1, 5, 4), h[:2].view(1, 1, 2, 4)[..., :2], dilation=2, padding=(1, 2)),
        lambda h: F.conv2d(h.view(1, 4, 5, 1), h[:4, :2].view(4, 1, 2, 1), groups=4, padding=1),
        lambda h: F.conv2d(h.view(1, 4, 1, 5), h[:, :2].reshape(-1)[:8].view(4, 2, 1, 1), groups=2),
        lambda h: F.conv_transpose2d(
            h.view(1, 2, 5, 2), h[:4].view(2, 2, 2, 2), stride=2, padding=1, groups=2
        ),
        lambda h: F.conv_transpose1d(h.view(1, 4, 5), h.view(4, 1, 5)[..., :3], stride=3, output_padding=1),
        lambda h: (
            F.adaptive_avg_pool2d(h.view(1, 1, 5, 4), (5, 2))
            + F.interpolate(h.view(1, 2, 5, 2)[..., :1], scale_factor=(1, 2))
        ),
        lambda h: F.max_pool1d(h.unsqueeze(0), 2) + F.avg_pool1d(h.unsqueeze(0), 2),
        lambda h: F.max_pool2d(h.view(1, 1, 5, 4), 3, stride=2, padding=1),
        lambda h: F.avg_pool2d(h.view(1, 1, 5, 4), (2, 3), stride=(2, 1), padding=1),
    ],
}


class Family(nn.Module):
    """Several functions of one linear layer, side by side."""

    def __init__(self, rules: list[Rule]) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.weight = nn.Parameter(torch.randn(6, 4) * 0.7)
        self.rules = rules

    def forward(self, x: Tensor) -> Tensor:
        h = x @ self.weight
        return torch.cat([(torch.zeros(()) + rule(h)).flatten() for rule in self.rules])


def loss(out: Tensor, _: Tensor) -> Tensor:
    return (out * out).sum() * 0.1 + out.sum()


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize("rules", FAMILIES.values(), ids=FAMILIES)
def test_a_family_of_operators_means_what_eager_pytorch_does(rules: list[Rule]) -> None:
    x = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)
    module = Family(rules)

    def sgd(parameters: object) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=0.01)  # type: ignore[arg-type]

    captured = capture(module=module, loss=loss, optimizer=sgd, columns={"x": x}, batch=5, steps=1)
    check_program(captured.program)
    check_values(captured.program, inputs=captured.inputs, state=captured.state)
    engine = Interpreter(captured.program, inputs=captured.inputs, seed=b"a" * 32, n_rows=5, batch=5)
    check_against_eager(
        captured,
        module=module,
        loss=loss,
        optimizer=sgd,
        run_step=lambda state, step: engine.run_step(state, step)[0],
    )
