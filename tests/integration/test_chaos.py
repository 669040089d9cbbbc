#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The short form of `make chaos`: each kind of fault once or twice.

Architecture 5.1: no event is lost. 5.2: labels are gap-free, in order. 5.3:
no event is trained twice. Whatever is killed, frozen, cut off or moved.
"""

import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "support"),
                os.path.join(HERE, "..", "chaos")]
from chaos import World, try_kind  # noqa: E402
from faults import KINDS  # noqa: E402
from integration import main  # noqa: E402
from service import SESSION_MS  # noqa: E402

ROUNDS = {"crash_point": 5, "kill_annotator": 3, "kill_trainer": 3,
          "members": 5, "network": 3, "topic_missing": 1, "broker_kill": 1,
          "leader_kill": 1, "retention": 1}


class TestChaos(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World(seed=None, frozen_s=1.5 * SESSION_MS / 1000)
        cls.addClassCleanup(cls.world.close)

    def assert_survives(self, kind):
        sums = try_kind(self.world, kind, ROUNDS.get(kind, 2))
        self.assertEqual(sums["failures"], [], "\n".join(sums["failures"]))
        self.assertGreater(sums["issued"], 0)
        self.assertEqual(
            sums["labelled"] + sums["dead_lettered"] + sums["expired"],
            sums["issued"], sums)


def add_tests():
    for i, kind in enumerate(KINDS):
        def test(self, kind=kind):
            self.assert_survives(kind)
        # In their order: brokers are shared by those that can share them.
        setattr(TestChaos, f"test_{i:02}_{kind}", test)


add_tests()

if __name__ == "__main__":
    main()
