# SPDX-License-Identifier: Apache-2.0
"""The student of the demo in numpy, for the servers that distilld serve is
compared with: read from the published file, asked by ids."""

import json
import os
import struct

import numpy

TYPES = {"U64": numpy.uint64, "F32": numpy.float32}
FEATURES = ("user", "movie", "year", "genres")


def read_tensors(path):
    with open(path, "rb") as f:
        head = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    return {name: numpy.frombuffer(
        data[t["data_offsets"][0]:t["data_offsets"][1]],
        TYPES[t["dtype"]]).reshape(t["shape"])
        for name, t in head.items() if name != "__metadata__"}


class Student:
    """[embeddings] -> MLP, beside it the factorization machine, and the linear
    term, which is the last column of each table."""

    def __init__(self, folder):
        self.t = read_tensors(os.path.join(folder, "model.safetensors"))
        self.order = {f: numpy.argsort(self.t[f + "/ids"]) for f in FEATURES}
        self.ids = {f: self.t[f + "/ids"][self.order[f]] for f in FEATURES}

    def rows(self, feature, ids):
        """Rows of the table; of an id that it does not have, row 0."""
        ids = numpy.asarray(ids).astype(numpy.uint64)
        sorted_ids = self.ids[feature]
        at = numpy.minimum(numpy.searchsorted(sorted_ids, ids),
                           len(sorted_ids) - 1)
        rows = numpy.where(sorted_ids[at] == ids, self.order[feature][at], 0)
        return self.t[feature + "/embedding"][rows]

    def answer(self, given):
        """The probabilities [B, 1], of {feature: ids [B, 1] or [B, K]}."""
        parts = [self.rows(f, given[f].reshape(-1)) for f in FEATURES[:3]]
        bag = numpy.asarray(given["genres"])
        there = bag != 0
        count = numpy.maximum(there.sum(axis=1, keepdims=True), 1)
        rows = self.rows("genres", bag) * there[:, :, None]
        parts.append((rows.sum(axis=1) / count).astype(numpy.float32))
        vectors = [p[:, :-1] for p in parts]
        x = numpy.concatenate(vectors, axis=1)
        hidden = numpy.maximum(
            x @ self.t["mlp/0/weight"].T + self.t["mlp/0/bias"], 0)
        total = sum(vectors)
        fm = (total * total - sum(v * v for v in vectors)) / 2
        trunk = numpy.concatenate([hidden, fm], axis=1)
        logits = (trunk @ self.t["head/liked/weight"].T
                  + self.t["head/liked/bias"]
                  + sum(p[:, -1:] for p in parts))
        return (1 / (1 + numpy.exp(-logits))).astype(numpy.float32)
