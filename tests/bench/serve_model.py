# SPDX-License-Identifier: Apache-2.0
"""Student and teacher of the demo in numpy, for the servers that distilld
serve is compared with: read from the published file, asked by ids."""

import json
import os
import struct

import numpy

TYPES = {"U64": numpy.uint64, "F32": numpy.float32, "F64": numpy.float64}
FEATURES = ("user", "movie", "year", "genres")
NUMBERS = ("user_count", "user_mean", "user_bias", "user_taste",
           "movie_count", "movie_mean", "movie_bias")
LOGARITHMS = ("user_count", "movie_count")
STANDARDIZE_MAX = 10


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

    def parts(self, given):
        """Of {feature: ids [B, 1] or [B, K]}: rows [B, width + 1] of each."""
        parts = [self.rows(f, given[f].reshape(-1)) for f in FEATURES[:3]]
        bag = numpy.asarray(given["genres"])
        there = bag != 0
        there[:, 0] |= ~there.any(axis=1)  # row 0 stands for an empty bag
        count = numpy.maximum(there.sum(axis=1, keepdims=True), 1)
        rows = self.rows("genres", bag) * there[:, :, None]
        parts.append((rows.sum(axis=1) / count).astype(numpy.float32))
        return parts

    def logits(self, parts, x, linear):
        """[B, 1], of the rows, the MLP's input and the linear term."""
        for layer in range(sum(n.startswith("mlp/") for n in self.t) // 2):
            x = numpy.maximum(x @ self.t[f"mlp/{layer}/weight"].T
                              + self.t[f"mlp/{layer}/bias"], 0)
        vectors = [p[:, :-1] for p in parts]
        total = sum(vectors)
        fm = (total * total - sum(v * v for v in vectors)) / 2
        trunk = numpy.concatenate([x, fm], axis=1)
        return (trunk @ self.t["head/liked/weight"].T
                + self.t["head/liked/bias"] + linear
                + sum(p[:, -1:] for p in parts))

    def answer(self, given):
        """The probabilities [B, 1]."""
        parts = self.parts(given)
        x = numpy.concatenate([p[:, :-1] for p in parts], axis=1)
        logits = self.logits(parts, x, 0)
        return (1 / (1 + numpy.exp(-logits))).astype(numpy.float32)


class Teacher(Student):
    """The same with numbers as well, and cross layers before the MLP."""

    def number(self, name, values):
        """[B, 2], of [B, 1]: standardized, and whether it is missing."""
        if name in LOGARITHMS:
            values = numpy.sign(values) * numpy.log1p(numpy.abs(values))
        scaled = ((values - self.t[name + "/mean"])
                  / numpy.sqrt(self.t[name + "/variance"]))
        missing = numpy.isnan(scaled)
        scaled = numpy.clip(numpy.where(missing, 0, scaled),
                            -STANDARDIZE_MAX, STANDARDIZE_MAX)
        return numpy.concatenate([scaled, missing],
                                 axis=1).astype(numpy.float32)

    def answer(self, given):
        """The logits [B, 1]."""
        parts = self.parts(given)
        numbers = [self.number(n, given[n]) for n in NUMBERS]
        first = numpy.concatenate(
            [p[:, :-1] for p in parts] + [v[:, :1] for v in numbers]
            + [v[:, 1:] for v in numbers], axis=1)
        x = first
        for layer in range(sum(n.startswith("cross/") for n in self.t) // 2):
            x = first * (x @ self.t[f"cross/{layer}/weight"].T
                         + self.t[f"cross/{layer}/bias"]) + x
        linear = sum(v @ self.t[f"linear/{n}/weight"].T
                     for n, v in zip(NUMBERS, numbers))
        return self.logits(parts, x, linear).astype(numpy.float32)
