#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A label budget on live events: a cap of questions a second, and a student
whose latest version says where it has no idea."""

import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from integration import main  # noqa: E402
from kafka_case import KafkaCase  # noqa: E402

CAP = 100


class TestSample(KafkaCase):
    def setUp(self):
        super().setUp()
        self.service.create()
        self.book = self.service.book(broken=0)

    def sampled(self):
        """What each label says of the choice, in no order; an event that was
        not asked about has no answer."""
        found = []
        for m in self.oracle.read(self.service.labels):
            label = json.loads(m.value())
            self.assertEqual(bool(label["soft_label"]),
                             label["sample"]["chosen"])
            found.append(label["sample"])
        self.assertEqual(len(found), self.book.next)
        return found

    def test_cap(self):
        self.service.configure(roles=["annotate"], teacher={"sample": {
            "by": "rate", "rate": 1, "per_second": CAP}})
        began = time.monotonic()
        daemon = self.service.start()
        daemon.await_said("partitions_assigned")
        self.service.issue_until(
            self.book, lambda: self.book.next >= 8000, "events", rate=1000)
        self.book.flush()
        self.service.await_consumed(self.book)
        seconds = time.monotonic() - began
        daemon.stop()
        found = self.sampled()
        chosen = [s for s in found if s["chosen"]]
        rates = sum(s["rate"] for s in found)
        # Chance is around the rates, and those are under the cap.
        self.assertLessEqual(rates, CAP * (seconds + 2))
        self.assertLess(abs(len(chosen) - rates), 5 * rates ** 0.5)
        self.assertGreater(len(chosen), CAP)
        # What is asked about stands for all there is.
        worth = sum(1 / s["rate"] for s in chosen)
        self.assertLess(abs(worth - len(found)), 0.5 * len(found))

    def test_student_is_followed(self):
        """Both roles in one process: the trainer's checkpoints decide."""
        where = self.service.path("run", "checkpoints")
        self.service.configure(teacher={"sample": {
            "by": "uncertainty", "rate": 0.05, "rate_high": 0.9,
            "student": where}})
        daemon = self.service.start()
        daemon.await_said("partitions_assigned")
        self.service.issue_until(
            self.book, lambda: daemon.said().count("sample_student ") >= 2,
            "a second version of the student", rate=500)
        self.book.flush()
        self.service.await_consumed(self.book)
        self.service.await_trained(self.book)
        daemon.stop()
        rates = [s["rate"] for s in self.sampled()]
        self.assertGreaterEqual(min(rates), 0.049)
        self.assertLessEqual(max(rates), 0.901)
        self.assertGreater(len(set(rates)), 100)


if __name__ == "__main__":
    main()
