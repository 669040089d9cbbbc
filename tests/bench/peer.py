#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The peer: the benchmarked model in PyTorch.

    peer.py NAME

prints "ready", then takes one sample for each line on stdin and prints one
number, as bench and floor do. The eight tables are one nn.Embedding with
sparse gradients, so that each step has one lookup and one update of rows, as
much as the model gets from PyTorch; the loss is the sum of those against
outcome and teacher. Ids are row numbers already: there is nothing to look up,
admit or expire.
"""

import sys
import time
import warnings

warnings.filterwarnings("ignore", message="Failed to initialize NumPy")
import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

BATCH, FIELDS, WIDTH = 1024, 8, 16
HIDDEN = (128, 64)
STEPS = 16  # a sample
RING = 64   # batches of ids
ANSWERS = 1024  # at most, a sample


def make_table(rows):
    """All tables as one. Filled in place: 10^8 rows take 6.4 GB once."""
    table = nn.Embedding(rows, WIDTH, sparse=True,
                         _weight=torch.empty(rows, WIDTH))
    nn.init.normal_(table.weight, std=0.01)
    return table


def make_dense():
    sizes = (FIELDS * WIDTH, *HIDDEN, 1)
    layers = []
    for i, (before, after) in enumerate(zip(sizes, sizes[1:])):
        layers.append(nn.Linear(before, after))
        if i < len(HIDDEN):
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def draw_ids(batch, rows, zipf):
    """(RING, batch, FIELDS) rows of the one table."""
    shape = (RING, batch, FIELDS)
    if zipf:
        shares = torch.arange(1, rows + 1, dtype=torch.float64) ** -1.05
        sums = torch.cumsum(shares, 0)
        wanted = torch.rand(shape, dtype=torch.float64) * sums[-1]
        ranks = torch.searchsorted(sums, wanted).clamp_(max=rows - 1)
        ids = torch.randperm(rows)[ranks]
    else:
        ids = torch.randint(rows, shape)
    return ids + rows * torch.arange(FIELDS)


class Train:
    """Steps of BATCH examples."""

    def __init__(self, name):
        rows = (10 ** 8 if ".1e8" in name else 10 ** 6) // FIELDS
        self.table = make_table(rows * FIELDS)
        self.dense = make_dense()
        rates = {"lr": 0.01, "eps": 1e-8, "initial_accumulator_value": 0.1}
        self.optimizers = (
            torch.optim.Adagrad(self.table.parameters(), **rates),
            torch.optim.Adagrad(self.dense.parameters(), foreach=True,
                                **rates))
        self.ids = draw_ids(BATCH, rows, ".zipf" in name)
        self.outcome = torch.randint(2, (BATCH,)).float()
        self.teacher = torch.sigmoid(self.outcome - 0.5)
        self.next = 0

    def step(self):
        ids = self.ids[self.next % RING]
        self.next += 1
        logits = self.dense(self.table(ids).flatten(1)).squeeze(1)
        loss = functional.binary_cross_entropy_with_logits
        (loss(logits, self.outcome) + loss(logits, self.teacher)).backward()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def sample(self):
        start = time.monotonic()
        for _ in range(STEPS):
            self.step()
        return (time.monotonic() - start) * 1e6 / (STEPS * BATCH)


class Infer:
    """Answers to batches of N events."""

    def __init__(self, name):
        self.batch = int(name.split(".")[1])
        rows = 10 ** 6 // FIELDS
        self.table = make_table(rows * FIELDS)
        self.dense = make_dense()
        self.ids = draw_ids(self.batch, rows, False)

    @torch.inference_mode()
    def sample(self):
        rounds = min(65536 // self.batch, ANSWERS)
        start = time.monotonic()
        for i in range(rounds):
            self.dense(self.table(self.ids[i % RING]).flatten(1))
        return (time.monotonic() - start) * 1e6 / (rounds * self.batch)


def main():
    name = sys.argv[1]
    torch.manual_seed(1)
    torch.sparse.check_sparse_tensor_invariants.disable()
    torch.set_num_threads(2 if name.endswith(".t2") else 1)
    peer = Train(name) if name.startswith("train.") else Infer(name)
    print("ready", flush=True)
    for _ in sys.stdin:
        print(f"{peer.sample():.6g}", flush=True)


if __name__ == "__main__":
    main()
