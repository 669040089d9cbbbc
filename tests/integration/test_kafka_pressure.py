#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Back-pressure: a stall bounds memory and never costs the membership.

Labels cannot be written, or a trainer is slow, while the topic fills: resident
memory stays flat, the member stays in its group though the stall is longer
than max.poll.interval.ms, and afterwards nothing is missing.

DISTILLD_STALL_S=600 stalls for ten minutes instead of some seconds.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from integration import main, wait_until  # noqa: E402
from kafka_case import ApartCase  # noqa: E402

STALL_S = float(os.environ.get("DISTILLD_STALL_S", "14"))
POLL_MS = 6000  # a stall is longer
FLAT = 24 << 20  # bytes that a stalled daemon may grow by
EVENTS_S = 4000  # written a second, while it stalls: far more than it holds

CONSUMER = {"max.poll.interval.ms": POLL_MS}


class TestPressure(ApartCase):
    def member(self):
        """The id of the group's only member."""
        from confluent_kafka import KafkaException
        try:
            group = self.oracle.admin.describe_consumer_groups(
                [self.service.group])[self.service.group].result()
        except KafkaException:
            return None
        return [m.member_id for m in group.members]

    def fill(self, book, daemon):
        """Fills the topic for STALL_S; gives the growth of memory after
        the first third, when whatever is bounded has been filled."""
        begun, issued, first = time.monotonic(), 0, None
        since = 0
        while since < STALL_S:
            since = time.monotonic() - begun
            book.issue(int(since * EVENTS_S) - issued)
            issued = int(since * EVENTS_S)
            if first is None and since > STALL_S / 3:
                first = daemon.rss()
            self.assertIsNone(daemon.status, daemon.tail())
            time.sleep(0.05)
        return daemon.rss() - first

    def test_labels_that_cannot_be_written(self):
        service = self.service
        self.create_apart(service.labels)
        service.configure("annotate", roles=["annotate"], pause_after="3s",
                          kafka={"consumer": CONSUMER})
        daemon = service.start("annotate")
        book = service.book(broken=0, padding=2000)
        book.issue(1000)
        book.flush()
        service.await_consumed(book)
        member = self.member()
        self.assertEqual(len(member), 1)
        self.second.freeze()
        grown = self.fill(book, daemon)
        self.assertLess(grown, FLAT, daemon.tail())
        self.assertEqual(self.member(), member, daemon.tail())
        self.second.thaw()
        book.flush()
        service.await_consumed(book)
        self.assertEqual(self.member(), member, daemon.tail())
        daemon.stop()
        self.assert_sound(book, None, duplicate_labels=0)

    def test_slow_trainer(self):
        """It reads no faster than it learns; the annotator does not wait
        for it, nor do its labels wait in memory."""
        service = self.service
        service.create()
        service.configure("annotate", roles=["annotate"])
        service.configure("train", roles=["train"], train={"batch": 16},
                          student={"hidden": [1536, 1536]},
                          checkpoint={"interval": "3s"},
                          kafka={"consumer": {"max.poll.interval.ms":
                                              POLL_MS}})
        annotator = service.start("annotate")
        trainer = service.start("train")
        book = service.book(broken=0, padding=2000)
        book.issue(1000)
        book.flush()
        service.await_consumed(book)
        where = service.path("train", "checkpoints")
        wait_until(lambda: book.trained(where), 60, trainer.tail(), 0.2)
        grown = self.fill(book, trainer)
        self.assertLess(grown, FLAT, trainer.tail())
        book.flush()
        service.await_consumed(book)
        self.assertLess(len(book.trained(where)), book.next,
                        "the trainer was not slow")
        annotator.stop()
        trainer.stop()
        account = service.judge(book, "train")
        self.assertEqual((account.lost, account.trained_twice), (0, 0))


if __name__ == "__main__":
    main()
