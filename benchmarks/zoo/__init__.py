"""Models that people train, each an unchanged module, loss and `torch.optim` optimizer with a dataset.

`tiny(name)` is small enough for the reference interpreter and for tests; `full(name)` has the sizes that
`benchmarks/overhead.py` measures. Datasets are random numbers of the right shapes and kinds.
"""

from benchmarks.zoo.setups import FULL, TINY, Entry, full, tiny

__all__ = ["FULL", "TINY", "Entry", "full", "tiny"]
