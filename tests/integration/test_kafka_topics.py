#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Topics: made, grown, made anew, cut; and where reading begins.

Architecture 5.1: `start` is resolved and committed at the first assignment;
partitions added later start at earliest. 5.2: the labels of partition p go to
label partition p; surplus partitions are paused with a clear message until
the topic is grown. 5.3: a label emitted again changes nothing, to label anew
raise labels.generation; a topic that was made anew, or an offset outside of
the log, stops the start with exit 65 and the way out. 5.10: topics that
distilld creates use LogAppendTime.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from integration import main, wait_until  # noqa: E402
from kafka_case import KafkaCase  # noqa: E402
from ledger import id_of  # noqa: E402
from service import librdkafka_version  # noqa: E402


class TopicsCase(KafkaCase):
    def finish(self, book, *daemons):
        """Everything comes to rest, and the daemons stop."""
        book.flush()
        self.service.await_consumed(book)
        self.service.await_trained(book)
        for daemon in daemons:
            daemon.stop()


class TestCreate(TopicsCase):
    def test_labels_get_as_many_partitions_as_events_have(self):
        service = self.service
        self.oracle.create(service.events, 6)
        service.configure(create_topics={"partitions": 2})
        daemon = service.start()
        book = service.book()
        book.issue(600)
        self.finish(book, daemon)
        self.assertEqual(self.oracle.partitions(service.labels), 6)
        self.assertEqual(self.oracle.partitions(service.dead), 2)
        self.assert_sound(book)

    def test_created_topics_keep_old_events(self):
        """Labels of old events are young; retention takes old messages of
        another topic meanwhile, so there was something to survive."""
        service, other = self.service, self.service.events + "-other"
        self.oracle.create(other, 1, retention_ms=1000, segment_ms=100,
                           message_timestamp_type="CreateTime")
        service.configure()
        daemon = service.start()
        wait_until(lambda: self.oracle.partitions(service.events) == 4, 60,
                   "the topic; " + daemon.tail())
        for topic in (service.events, service.labels, service.dead):
            wait_until(lambda topic=topic: self.oracle.partitions(topic), 30)
            self.assertEqual(
                self.oracle.config(topic)["message.timestamp.type"],
                "LogAppendTime", topic)
            self.oracle.set_config(topic, retention_ms=120000,
                                   segment_ms=100)
        book = service.book()
        book.issue(500)
        self.oracle.send(other, [{"value": b"x", "timestamp": 1_600_000_000_000
                                  }] * 5)
        self.finish(book, daemon)
        wait_until(lambda: self.oracle.starts(other)[0] > 0, 60, "retention")
        self.assertEqual(set(self.oracle.starts(service.labels).values()),
                         {0})
        self.assert_sound(book)
        message = self.oracle.read(service.labels)[0]
        self.assertLess(abs(message.timestamp()[1] / 1000 - time.time()), 600)

    def test_waits_for_topics_that_it_may_not_create(self):
        service = self.service
        service.configure(create_topics={"enabled": False})
        daemon = service.start()
        daemon.await_said(f"topic {service.events} does not exist")
        self.assertNotIn(service.events, self.oracle.topics())
        service.create()
        book = service.book()
        book.issue(300)
        self.finish(book, daemon)
        self.assert_sound(book)


class TestPartitions(TopicsCase):
    def test_surplus_partitions_wait_until_labels_are_grown(self):
        service = self.service
        service.create(partitions=4, labels=2)
        service.configure()
        book = service.book()
        book.issue(1000)
        book.flush()
        daemon = service.start()
        daemon.await_said("are paused until the topic is grown")
        self.assertIn(service.labels, daemon.said())
        readable = [n for (p, _), n in book.at.items()
                    if p < 2 and not book.is_broken(n)]
        service.await_labels(len(readable))
        self.assertLess(set(self.oracle.committed(service.group,
                                                  service.events)), {0, 1, 2})
        self.oracle.grow(service.labels, 4)
        self.finish(book, daemon)
        self.assert_sound(book, duplicate_labels=0)

    def test_partition_added_later_is_read_from_its_beginning(self):
        """Also by a group that began at latest."""
        service = self.service
        service.create(partitions=2)
        service.configure(events={"start": "latest"})
        self.oracle.send(service.events, [b"{}"] * 10)
        daemon = service.start()
        wait_until(lambda: len(self.oracle.committed(
            service.group, service.events)) == 2, 60, daemon.tail())
        daemon.stop()
        book = service.book()
        self.oracle.grow(service.labels, 4)
        book.grow(4)
        book.issue(800)
        book.flush()
        daemon.start()
        self.finish(book, daemon)
        self.assert_sound(book, labelled=book.readable())


class TestStart(TopicsCase):
    def begin(self, start):
        """Runs with 50 events that were there before, 500 that come later;
        gives the ledger of the latter."""
        service = self.service
        service.create()
        before = [{"value": b'{"event_id": "early"}', "partition": i % 4}
                  for i in range(50)]
        self.oracle.send(service.events, before)
        service.configure(events={"start": start})
        daemon = service.start()
        wait_until(lambda: len(self.oracle.committed(
            service.group, service.events)) == 4, 60, daemon.tail())
        daemon.stop()
        book = service.book()
        book.issue(500)
        book.flush()
        daemon.start()
        self.finish(book, daemon)
        return book

    def test_latest_is_resolved_once_and_for_all(self):
        """What came while the daemon was away is not skipped."""
        book = self.begin("latest")
        self.assert_sound(book, labelled=book.readable())

    def test_earliest_reads_everything(self):
        book = self.begin("earliest")
        account = self.service.judge(book)
        self.assertEqual(account.lost, 0, str(account))
        self.assertEqual(account.alien, 50 + 1, str(account))
        trained = book.trained(self.service.path("run", "checkpoints"))
        self.assertEqual(trained[id_of("early")], 50)


class TestSeenBefore(TopicsCase):
    def test_second_group_labels_again_and_nothing_is_trained_twice(self):
        service = self.service
        service.create()
        book = service.book()
        book.issue(1000)
        service.configure()
        daemon = service.start()
        self.finish(book, daemon)
        service.group += "-2"
        service.configure(events={"group": service.group})
        daemon.start()
        self.finish(book, daemon)
        service.await_labels(2 * book.readable())
        self.assert_sound(book, duplicate_labels=book.readable())

    def test_raised_generation_is_trained_anew(self):
        service = self.service
        service.create()
        book = service.book()
        book.issue(600)
        service.configure()
        daemon = service.start()
        self.finish(book, daemon)
        service.group += "-2"
        service.configure(events={"group": service.group},
                          labels={"generation": 1})
        daemon.start()
        service.await_consumed(book)
        where = service.path("run", "checkpoints")
        wait_until(lambda: set(book.trained(where).values()) == {2}, 60,
                   "second training; " + daemon.tail())
        daemon.stop()


class TestMadeAnew(TopicsCase):
    """Each ends with 65 and says how to go on; --accept-reset does."""

    def prepare(self, count=800):
        service = self.service
        service.create()
        book = service.book()
        book.issue(count)
        service.configure("run")
        daemon = service.start()
        self.finish(book, daemon)
        return book, daemon

    def assert_reset(self, daemon, *words):
        daemon.start()
        self.assert_ends(daemon, 65, "--accept-reset")
        for word in words:
            self.assertIn(word, daemon.said())
        return self.service.start(args=["--accept-reset"])

    def test_events_topic(self):
        self.assert_told(200)

    def assert_told(self, count):
        """The events topic is made anew, with so many events."""
        service = self.service
        book, daemon = self.prepare()
        before = set(book.trained(service.path("run", "checkpoints")))
        self.oracle.delete(service.events)
        self.oracle.create(service.events, 4)
        fresh = service.book(tag="fresh")
        fresh.issue(count)
        fresh.flush()
        service.configure(labels={"generation": 1})
        daemon = self.assert_reset(daemon, service.events)
        where = service.path("run", "checkpoints")
        wait_until(lambda: len(set(fresh.trained(where)) - before)
                   >= fresh.readable(), 60, "training; " + daemon.tail())
        daemon.stop()

    def test_labels_topic(self):
        service = self.service
        book, daemon = self.prepare()
        self.oracle.delete(service.labels)
        self.oracle.create(service.labels, 4)
        daemon = self.assert_reset(daemon, service.labels)
        book.issue(500)
        self.finish(book, daemon)

    def test_retention_overtook_the_trainer(self):
        service = self.service
        book, daemon = self.prepare()
        service.configure("annotate", roles=["annotate"])
        annotator = service.start("annotate")
        book.issue(500)
        book.flush()
        service.await_consumed(book)
        annotator.stop()
        ends = self.oracle.ends(service.labels)
        self.oracle.truncate(service.labels,
                             {p: end - 1 for p, end in ends.items()})
        daemon = self.assert_reset(daemon, service.labels, "retention")
        where = service.path("run", "checkpoints")
        last = [max(n for (q, _), n in book.at.items()
                    if q == p and not book.is_broken(n)) for p in range(4)]
        wanted = {id_of(book.event_id(n)) for n in last}
        wait_until(lambda: wanted <= set(book.trained(where)), 60,
                   "training; " + daemon.tail())
        daemon.stop()
        trained = book.trained(where)
        self.assertEqual(set(trained.values()), {1})
        self.assertLess(len(trained), book.readable() - 400)

    def test_retention_overtook_the_annotator(self):
        service = self.service
        book, daemon = self.prepare()
        book.issue(500)
        book.flush()
        ends = self.oracle.ends(service.events)
        self.oracle.truncate(service.events,
                             {p: end - 3 for p, end in ends.items()})
        book.expire()
        daemon = self.assert_reset(daemon, service.events, "retention")
        service.await_consumed(book)
        service.await_labels(len(
            {n for n in book.at.values() if not book.is_broken(n)}
            - book.expired))
        daemon.stop()
        account = service.judge(book, None)
        self.assertEqual(account.lost, 0, str(account))
        self.assertGreater(account.expired, 400, str(account))

    if librdkafka_version() >= (2, 3, 0):
        def test_events_topic_that_is_longer_than_before(self):
            """Its id tells; older librdkafkas do not hear of ids."""
            self.assert_told(1600)

    def test_commits_beyond_the_end(self):
        """A topic made anew that is shorter: told even without its id."""
        service = self.service
        _, daemon = self.prepare()
        self.oracle.delete(service.events)
        self.oracle.create(service.events, 4)
        self.assert_reset(daemon, service.events).kill()


if __name__ == "__main__":
    main()
