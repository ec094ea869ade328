"""One training step shared by several processes, to the same bits (specs/trainer.md, K-7 to K-9).

plan.py decides from the descriptors what is computed in shares, group.py carries words between processes,
combine.py sums over shares exactly, executor.py runs it.
"""
