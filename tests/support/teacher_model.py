# SPDX-License-Identifier: Apache-2.0
"""The teacher that all test servers serve, in plain Python: a test computes
what an event's answer must be.

Inputs, a row each: user (BYTES [1]), item_id (INT64 [1]), numbers (FP32 [2]).
Outputs: logit (FP32 [1]), classes (FP32 [3]). All are exact in FP32 while the
numbers are few 64ths. A user whose name begins with `poison` makes the model
raise.
"""

import zlib

NAME = "ranker"
CLASSES = 3
INPUTS = (("user", "BYTES", 1), ("item_id", "INT64", 1),
          ("numbers", "FP32", 2))
OUTPUTS = (("logit", "FP32", 1), ("classes", "FP32", CLASSES))
POISON = "poison"


class Poison(ValueError):
    """A row that the model trips over."""


def answer(user, item_id, numbers):
    """The logit of one row."""
    if user.startswith(POISON):
        raise Poison(f"no such user: {user[:40]}")
    return (zlib.crc32(user.encode()) % 1024 / 256 - 2
            + int(item_id) % 97 / 32 - 1.5
            + float(numbers[0]) - float(numbers[1]))


def classes(logit):
    """The logits of the classes that go with a logit."""
    return [logit, -logit, 0.5]


def probability(logit):
    """What a server says that answers with probabilities."""
    import math
    return 1 / (1 + math.exp(-logit))
