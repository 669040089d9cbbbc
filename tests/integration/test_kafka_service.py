#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The service on real Kafka, against both lines of brokers.

Architecture 1: the roles meet in the labels log alone, in one process or in
many; annotators scale by adding processes to a group; the trainer goes on
from the offsets in its checkpoint. 5.1, 5.2, 5.3: by the ledger.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from integration import main, wait_until  # noqa: E402
from kafka import NEWEST, OLDER  # noqa: E402
from kafka_case import KafkaCase  # noqa: E402
from service import librdkafka_version  # noqa: E402


class Works:
    """The tests, for each version of the broker."""

    def test_both_roles_in_one_process_go_on_where_they_stopped(self):
        service = self.service
        service.configure()
        daemon = service.start()
        wait_until(lambda: self.oracle.partitions(service.labels) == 4 and
                   self.oracle.partitions(service.dead) and
                   self.oracle.partitions(service.events) == 4, 60,
                   "topics; " + daemon.tail())
        book = service.book()
        for _ in range(3):
            book.issue(2000)
            book.flush()
            service.await_consumed(book)
            service.await_trained(book)
            daemon.stop()
            daemon.start()
        daemon.stop()
        self.assert_sound(book, issued=6000, duplicate_labels=0)

    def test_roles_apart(self):
        service = self.service
        service.create()
        book = service.book()
        service.configure("annotate", roles=["annotate"])
        service.configure("train", roles=["train"])
        trainer = service.start("train")
        annotator = service.start("annotate")
        book.issue(3000)
        book.flush()
        service.await_consumed(book)
        annotator.stop()
        service.await_trained(book, "train")
        trainer.stop()
        self.assert_sound(book, "train", duplicate_labels=0)

    def test_annotators_join_and_leave(self):
        self.assert_shared()

    if librdkafka_version() >= (2, 6, 1):
        def test_annotators_join_and_leave_without_a_stop(self):
            """Partitions that nobody takes away are read on."""
            self.assert_shared(consumer={"partition.assignment.strategy":
                                         "cooperative-sticky"})

    def assert_shared(self, **kafka):
        """Four partitions are shared by one, two, three, two, one."""
        service = self.service
        service.create()
        book = service.book()
        service.configure("annotate", roles=["annotate"], kafka=kafka)
        service.configure("train", roles=["train"])
        trainer = service.start("train")
        running = []

        def go_on(members):
            service.issue_until(
                book, lambda: self.oracle.members(service.group) == members,
                f"{members} members")
            wanted = service.label_count() + 500
            service.issue_until(
                book, lambda: service.label_count() > wanted, "labels")
        for i in range(3):
            running.append(service.start("annotate", log=f"annotate{i}"))
            go_on(i + 1)
        running.pop(0).stop()
        go_on(2)
        running.pop(0).kill()
        go_on(1)
        book.flush()
        service.await_consumed(book)
        service.await_trained(book, "train")
        running.pop().stop()
        trainer.stop()
        self.assert_sound(book, "train")

    def test_static_members_come_back(self):
        """With group.instance.id a member that was killed has its partitions
        when it comes back in time, and the other one keeps its own."""
        service = self.service
        service.create()
        book = service.book()
        service.configure("train", roles=["train"])
        trainer = service.start("train")
        running = []
        for name in ("first", "second"):
            service.configure(name, roles=["annotate"], kafka={
                "consumer": {"group.instance.id": name,
                             "session.timeout.ms": 30000}})
            running.append(service.start(name))
        first, second = running
        for daemon in running:
            daemon.await_said("partitions_assigned")
        service.issue_until(
            book, lambda: self.oracle.members(service.group) == 2, "members")
        for _ in range(3):
            revoked = second.said().count("partitions_revoked")
            wanted = service.label_count() + 1000
            service.issue_until(
                book, lambda wanted=wanted: service.label_count() > wanted,
                "labels")
            first.kill()
            first.start()
            first.await_said("partitions_assigned")
            book.flush()
            service.await_consumed(book)
            self.assertEqual(second.said().count("partitions_revoked"),
                             revoked)
        service.await_trained(book, "train")
        for daemon in (*running, trainer):
            daemon.stop()
        self.assert_sound(book, "train")

    def test_trainer_goes_on_from_its_checkpoint(self):
        """Killed at any time, it replays from the offsets in there."""
        service = self.service
        service.create()
        book = service.book(broken=0)
        service.configure("annotate", roles=["annotate"])
        service.configure("train", roles=["train"],
                          checkpoint={"interval": "100ms"})
        annotator = service.start("annotate")
        trainer = service.start("train")
        where = service.path("train", "checkpoints")
        for _ in range(4):
            wanted = len(book.trained(where)) + 1000
            service.issue_until(
                book, lambda wanted=wanted:
                len(book.trained(where)) > wanted, "checkpoints")
            trainer.kill()
            trainer.start()
        book.flush()
        service.await_consumed(book)
        service.await_trained(book, "train")
        annotator.stop()
        trainer.stop()
        self.assert_sound(book, "train", duplicate_labels=0)


class TestNewest(Works, KafkaCase):
    version = NEWEST


class TestOlder(Works, KafkaCase):
    version = OLDER
    own = True  # also where one of another version is there


if __name__ == "__main__":
    main()
