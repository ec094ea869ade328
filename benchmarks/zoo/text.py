"""Ordinary language and embedding models in plain PyTorch, and two from Hugging Face transformers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class Attention(nn.Module):
    """Causal self-attention with one projection for queries, keys and values."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, length, width] to the same."""
        b, n, d = x.shape
        q, k, v = (
            part.view(b, n, self.heads, d // self.heads).transpose(1, 2)
            for part in self.qkv(x).split(d, dim=2)
        )
        p = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=True)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(b, n, d))
        return out


class GPTBlock(nn.Module):
    """Attention and a feed-forward layer, each after a LayerNorm and added to its input."""

    def __init__(self, width: int, heads: int, gelu: str, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.feed = nn.Sequential(
            nn.Linear(width, 4 * width),
            nn.GELU(approximate=gelu),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[batch, length, width] to the same."""
        x = x + self.attention(self.norm1(x))
        out: Tensor = x + self.feed(self.norm2(x))
        return out


class GPT(nn.Module):
    """Radford et al. 2019: learned positions, pre-norm blocks, the output tied to the embedding."""

    def __init__(
        self,
        *,
        vocabulary: int,
        context: int,
        width: int,
        heads: int,
        layers: int,
        gelu: str = "tanh",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, heads, gelu, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight
        nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits [batch, length, vocabulary] of token ids [batch, length]."""
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x))
        return logits


class PaddedEncoder(nn.Module):
    """A torch TransformerEncoder over sequences padded with token 0, averaged over what is no padding."""

    def __init__(
        self, *, vocabulary: int = 12, context: int = 6, width: int = 8, heads: int = 2, classes: int = 3
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width, padding_idx=0)
        self.positions = nn.Parameter(torch.randn(context, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(width, classes)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits [batch, classes] of token ids [batch, length]."""
        padding = ids == 0
        h = self.encoder(self.tokens(ids) + self.positions, src_key_padding_mask=padding)
        kept = (~padding).float().unsqueeze(2)
        logits: Tensor = self.head((h * kept).sum(1) / kept.sum(1).clamp(min=1))
        return logits


class RecurrentModel(nn.Module):
    """A language model with an LSTM or a GRU, unrolled over the context."""

    def __init__(
        self, kind: str, *, vocabulary: int = 11, width: int = 6, hidden: int = 7, layers: int = 1
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        cell = {"lstm": nn.LSTM, "gru": nn.GRU}[kind]
        self.cells = cell(width, hidden, layers, batch_first=True)
        self.head = nn.Linear(hidden, vocabulary)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits [batch, length, vocabulary] of token ids [batch, length]."""
        logits: Tensor = self.head(self.cells(self.tokens(ids))[0])
        return logits


class TwoTower(nn.Module):
    """Users and items in one space (Covington et al. 2016): large tables, of which a batch hits few rows."""

    def __init__(self, *, users: int, items: int, width: int = 8, history: int = 3) -> None:
        super().__init__()
        self.users = nn.Embedding(users, width)
        self.items = nn.Embedding(items, width)
        self.bags = nn.EmbeddingBag(items, width, mode="mean")
        self.user_tower = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, width))
        self.item_tower = nn.Linear(width, width)
        self.history = history

    def forward(self, user: Tensor, seen: Tensor, item: Tensor) -> Tensor:
        """Scores [batch, batch] of every user for every item of the batch; seen is [batch, history]."""
        left = self.user_tower(torch.cat([self.users(user), self.bags(seen)], 1))
        right = self.item_tower(self.items(item))
        return F.normalize(left, dim=1) @ F.normalize(right, dim=1).t() * 5.0


class HuggingFace(nn.Module):
    """A transformers model, unchanged, called so that it returns its logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *columns: Tensor) -> Tensor:
        """Logits of token ids, or of token ids and an attention mask."""
        names = ("input_ids", "attention_mask")
        logits: Tensor = self.model(**dict(zip(names, columns, strict=False))).logits
        return logits


def gpt2(**sizes: Any) -> nn.Module:
    """transformers' GPT-2 with random weights; sizes as in its configuration."""
    from transformers import GPT2Config, GPT2LMHeadModel

    return HuggingFace(GPT2LMHeadModel(GPT2Config(bos_token_id=0, eos_token_id=0, **sizes)).train())


def bert(**sizes: Any) -> nn.Module:
    """transformers' BERT for masked tokens with random weights; sizes as in its configuration."""
    from transformers import BertConfig, BertForMaskedLM

    return HuggingFace(BertForMaskedLM(BertConfig(**sizes)).train())


def token_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of next tokens [batch, length], -100 left out."""
    return F.cross_entropy(logits.flatten(0, 1), target.flatten())


def in_batch_loss(scores: Tensor, _: Tensor) -> Tensor:
    """Every user's own item against those of the others in the batch."""
    return F.cross_entropy(scores, torch.arange(scores.shape[0]))
