#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ledger that judges the service sees what is wrong."""

import base64
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from integration import main  # noqa: E402
from kafka_case import KafkaCase  # noqa: E402
from ledger import EPOCH_MS, id_of  # noqa: E402

COUNT = 400


class TestLedger(KafkaCase):
    """A service of twenty lines, which can be told what to do wrong."""

    def setUp(self):
        super().setUp()
        self.service.create(partitions=3)
        self.book = self.service.book()
        self.book.issue(COUNT)
        self.book.flush()

    def serve(self, change=None):
        """Answers every event; change(partition, labels) may do harm."""
        queues = {}
        for (p, o), n in sorted(self.book.at.items()):
            event = self.book.event(n)
            source = {"topic": self.service.events, "partition": p,
                      "offset": o, "generation": 0}
            message = {"key": self.book.key(n), "partition": p}
            if self.book.is_broken(n):
                self.oracle.send(self.service.dead,
                                 [json.dumps(self.letter(n, source))], p)
                continue
            answer = json.loads(event)["answer"]
            value = (json.dumps({
                "schema": "distilld.label/1", "source": source,
                "soft_label": {"liked": [answer]}})[:-1].encode()
                + b', "event": ' + event + b"}")
            queues.setdefault(p, []).append({
                **message, "value": value,
                "headers": [*self.book.headers(n), (
                    "distilld-event-time", str(EPOCH_MS + n).encode())]})
        for p, queue in queues.items():
            if change:
                change(p, queue)
            self.oracle.send(self.service.labels, queue, p)

    def letter(self, n, source):
        key = self.book.key(n)
        return {
            "schema": "distilld.dead_letter/1", "source": source,
            "reason": "broken",
            "payload_base64": base64.b64encode(self.book.event(n)).decode(),
            **({} if key is None else {"key": key.decode()}),
            "headers": [{"name": name,
                         "value": None if value is None else value.decode()}
                        for name, value in self.book.headers(n)]}

    def judge(self, checkpoint=None):
        return self.book.judge(self.service.labels, self.service.dead,
                               checkpoint)

    def test_sound_service_is_sound(self):
        self.serve()
        account = self.judge()
        self.assertTrue(account.sound, str(account))
        self.assertEqual(account.issued, COUNT)
        self.assertEqual(account.labelled + account.dead_lettered, COUNT)
        self.assertGreater(account.dead_lettered, 4)

    def test_repeated_run_of_labels_is_no_harm(self):
        self.serve(lambda p, queue: queue.__setitem__(
            slice(10, 10), queue[3:10]))
        account = self.judge()
        self.assertTrue(account.sound, str(account))
        self.assertEqual(account.duplicate_labels, 21)

    def assert_wrong(self, change, **counts):
        self.serve(change)
        account = self.judge()
        self.assertFalse(account.sound, str(account))
        for name, value in counts.items():
            self.assertEqual(account.counts[name], value, str(account))

    def test_lost_label(self):
        self.assert_wrong(lambda p, queue: queue.pop(20), lost=3)

    def test_order(self):
        self.assert_wrong(lambda p, queue: queue.insert(5, queue.pop(20)),
                          out_of_order=45)

    def test_wrong_partition(self):
        def change(p, queue):
            if p == 2:
                queue[-1]["partition"] = 0
        self.assert_wrong(change, out_of_order=1)

    def test_label_of_nothing(self):
        def change(_, queue):
            queue.append({**queue[0], "value": queue[0]["value"].replace(
                b'"offset": 0', b'"offset": 99999')})
        self.assert_wrong(change, alien=3)

    def test_payload(self):
        def change(_, queue):
            queue[2]["value"] = queue[2]["value"].replace(b"liked", b"lIked")
        self.assert_wrong(change, damaged=3)

    def test_key(self):
        self.assert_wrong(lambda p, queue: queue[9].update(key=b"?"),
                          damaged=3)

    def test_header(self):
        self.assert_wrong(lambda p, queue: queue[9]["headers"].pop(0),
                          damaged=3)

    def test_training(self):
        self.serve()
        seen = {id_of(self.book.event_id(n)): 1 for n in range(COUNT)
                if not self.book.is_broken(n)}
        first, second, third = list(seen)[:3]
        self.book.trained = lambda _: dict(seen)
        self.assertTrue(self.judge(".").sound)
        del seen[first]
        seen.update({second: 2, 12345: 1})
        account = self.judge(".")
        self.assertEqual((account.untrained, account.trained_twice,
                          account.alien), (1, 1, 1), str(account))
        self.assertEqual(seen[third], 1)


if __name__ == "__main__":
    main()
