#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What acknowledged means, against both lines of brokers.

Architecture 5.1: an offset is committed when everything up to it was
acknowledged, which is the delivery report and never the enqueue; the producer
waits and never gives up; offsets may have holes. 5.2: a label is produced only
after every earlier dead letter of its partition; once one fails, work restarts
at the watermark. 5.9: a malformed record never stops the stream.
"""

import hashlib
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from integration import main, wait_until  # noqa: E402
from kafka import NEWEST, OLDER  # noqa: E402
from kafka_case import ApartCase  # noqa: E402
from ledger import read_letter  # noqa: E402
from service import SESSION_MS  # noqa: E402

STALL_S = 4  # long enough to see that nothing happens


class Delivers:
    """The tests, for each version of the broker."""

    def finish(self, book, *daemons):
        book.flush()
        self.service.await_consumed(book)
        self.service.await_trained(book)
        for daemon in daemons:
            daemon.stop()

    def committed(self):
        return self.oracle.committed(self.service.group, self.service.events)

    def test_nothing_is_committed_before_labels_are_acknowledged(self):
        service = self.service
        self.create_apart(service.labels)
        book = service.book(broken=0)
        book.issue(400)
        book.flush()
        service.configure()
        daemon = service.start()
        service.await_consumed(book)
        before = self.committed()
        self.second.freeze()
        book.issue(1000)
        book.flush()
        wait_until(lambda: daemon.metrics()["distilld_labels_produced_total"]
                   > 1000, 60, "labels on their way", pause=0.1)
        time.sleep(STALL_S)
        self.assertEqual(self.committed(), before)
        daemon.kill()
        self.assertEqual(self.committed(), before)
        daemon.start()
        self.second.thaw()
        self.finish(book, daemon)
        self.assert_sound(book)

    def test_labels_wait_for_earlier_dead_letters_of_their_partition(self):
        service = self.service
        self.create_apart(service.dead, partitions=2)
        book = service.book(broken=150)
        book.issue(50, partition=0)
        book.issue(99, partition=1)
        book.issue(1, partition=0)
        book.flush()
        end = self.oracle.ends(service.events)[0]
        book.issue(50, partition=0)
        book.flush()
        self.second.freeze()
        service.configure()
        daemon = service.start()
        wait_until(lambda: len(self.committed()) == 2, 60, daemon.tail())
        time.sleep(STALL_S)
        self.assertLessEqual(self.committed()[0], end - 1)
        for m in self.oracle.read(service.labels):
            source = json.loads(m.value())["source"]
            self.assertFalse(source["partition"] == 0 and
                             source["offset"] >= end, m.value())
        self.second.thaw()
        self.finish(book, daemon)
        self.assert_sound(book, duplicate_labels=0, labelled=199)

    def test_dead_letter_is_the_record_as_it_came(self):
        service = self.service
        service.create(partitions=1)
        large = b'{"event_id": "large", "x": "' + b"y" * 100_000 + b'"}'
        bad = [b"", b"[1]", b"{\"a\":\n", b"\xff\xfe", b"nul \x00",
               b'{"a": 1, "a": 2}', large]
        for value in bad:
            self.oracle.send(service.events, [{
                "value": value, "key": b"\x00k",
                "headers": [("h", b"1"), ("h", b"\xff"), ("n", None)]}])
        self.oracle.send(service.events, [{"value": None, "key": b"k"}])
        book = service.book(broken=0)
        book.issue(100)
        service.configure()
        daemon = service.start()
        self.finish(book, daemon)
        letters = self.oracle.read(service.dead)
        self.assertEqual(len(letters), len(bad) + 1)
        for i, (value, m) in enumerate(zip(bad, letters)):
            letter = json.loads(m.value())
            self.assertEqual(letter["source"]["topic"], service.events)
            self.assertEqual(letter["source"]["partition"], 0)
            self.assertEqual(letter["source"]["offset"], i)
            self.assertTrue(letter["reason"])
            key, headers, _ = read_letter(letter)
            self.assertEqual(key, b"\x00k")
            self.assertEqual(headers, [("h", b"1"), ("h", b"\xff"),
                                       ("n", None)])
            self.assert_payload(letter, value)
        self.assert_sound(book, strangers=len(letters), labelled=100)

    def assert_payload(self, letter, value):
        """The whole of it, or its beginning, size and digest."""
        payload = read_letter(letter)[2]
        if "payload_bytes" not in letter:
            self.assertEqual(payload, value)
            return
        self.assertGreater(len(payload), 100)
        self.assertTrue(value.startswith(payload))
        self.assertEqual(letter["payload_bytes"], len(value))
        self.assertEqual(letter["payload_sha256"],
                         hashlib.sha256(value).hexdigest())

    def test_label_too_large_for_the_broker_is_a_dead_letter(self):
        """With the beginning of the event, its size and its digest."""
        service = self.service
        service.create(partitions=1)
        self.oracle.set_config(service.labels, max_message_bytes=3000)
        self.oracle.set_config(service.dead, max_message_bytes=6000)
        large = json.dumps({"event_id": "large", "x": "y" * 20000}).encode()
        book = service.book(broken=0)
        book.issue(50)
        book.flush()
        self.oracle.send(service.events, [large])
        book.issue(50)
        service.configure()
        daemon = service.start()
        self.finish(book, daemon)
        letter, = self.oracle.read(service.dead)
        letter = json.loads(letter.value())
        self.assertEqual(letter["source"]["offset"], 50)
        self.assert_payload(letter, large)
        self.assertIn("payload_bytes", letter)
        self.assert_sound(book, strangers=1, labelled=100,
                          duplicate_labels=0)

    def test_holes_of_transactions_are_passed(self):
        """Aborted events are none; markers are passed, up to the end."""
        service = self.service
        service.create(partitions=1)
        book = service.book(broken=0)
        book.producer = self.oracle.producer(
            **{"transactional.id": service.events,
               "message.timeout.ms": 30000})
        book.producer.init_transactions(60)
        service.configure()
        daemon = service.start()
        for i in range(6):
            book.producer.begin_transaction()
            if i % 3 == 1:
                book.producer.produce(service.events,
                                      b'{"event_id": "aborted"}')
                book.producer.flush()
                book.producer.abort_transaction(60)
                continue
            book.issue(100)
            book.producer.commit_transaction(60)
        wait_until(lambda: self.oracle.ends(service.events) == {0: 402 + 6},
                   60, "markers")
        self.finish(book, daemon)
        self.assertEqual(self.committed(), {0: 408})
        self.assert_sound(book, labelled=400, duplicate_labels=0)

    def test_what_a_frozen_member_held_is_nobodys(self):
        """Its labels cannot be written, so another labels them, and it
        must not mix in what it held when it comes back."""
        service = self.service
        self.create_apart(service.labels)
        service.configure("annotate", roles=["annotate"])
        service.configure("train", roles=["train"])
        trainer = service.start("train")
        book = service.book()
        book.issue(1000)
        book.flush()
        first = service.start("annotate", log="first")
        service.await_consumed(book)
        self.second.freeze()
        book.issue(2000)
        book.flush()
        time.sleep(1)
        first.send(signal.SIGSTOP)
        second = service.start("annotate", log="second")
        time.sleep(1.5 * SESSION_MS / 1000)
        self.second.thaw()
        first.send(signal.SIGCONT)
        book.issue(1000)
        book.flush()
        service.await_consumed(book)
        service.await_trained(book, "train")
        for daemon in (first, second, trainer):
            daemon.stop()
        self.assert_sound(book, "train")


class TestNewest(Delivers, ApartCase):
    version = NEWEST


class TestOlder(Delivers, ApartCase):
    version = OLDER


if __name__ == "__main__":
    main()
