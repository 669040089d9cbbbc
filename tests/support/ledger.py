# SPDX-License-Identifier: Apache-2.0
"""What was issued, and what came of it.

A Ledger writes events with unique ids into the events topic and remembers
where each lies. `judge` then reads the labels, the dead letters and the
trainer's ids, and gives an Account: it is `sound` when every id issued is a
label or a dead letter, each label was trained exactly once, each is intact,
and those of a source partition first appeared in order.

The event's id must be a categorical feature "event_id" with admit_after 1,
and the teacher of kind field: see FEATURES, TASKS and TEACHER.
"""

import base64
import json
import math
import random
import subprocess

from integration import binary
from oracle import patiently, xxhash

FEATURES = {
    "event_id": {"kind": "categorical", "admit_after": 1},
    "user": {"kind": "categorical"},
    "item": {"kind": "categorical"},
}
TASKS = {"liked": {"kind": "binary", "teacher_path": "answer"}}
TEACHER = {"kind": "field", "output": "logit"}
STUDENT = {"embedding_width": 4, "hidden": [8]}
ID_MASK = (1 << 53) - 1
BROKEN_EVERY = 61  # one event of so many cannot be read
EPOCH_MS = 1_700_000_000_000


def id_of(text, feature="event_id"):
    """The id of a value, as the daemon makes it."""
    return xxhash.xxh64_intdigest(
        feature.encode() + b"\x1f" + text.encode()) & ID_MASK


def plain(holder, name):
    """A member that is text, or bytes in base64: as bytes, or None."""
    if name + "_base64" in holder:
        return base64.b64decode(holder[name + "_base64"])
    text = holder.get(name)
    return text if text is None else text.encode()


def read_letter(letter):
    """(key, headers, payload) of the message in a dead letter."""
    headers = [(plain(h, "name").decode(), plain(h, "value"))
               for h in letter.get("headers", ())]
    return plain(letter, "key"), headers, plain(letter, "payload")


class Account:
    """The sum of it, and the first of what is wrong."""

    COUNTS = ("issued", "labelled", "dead_lettered", "expired", "lost",
              "untrained", "trained_twice", "duplicate_labels", "out_of_order",
              "damaged", "alien")
    WRONG = ("lost", "untrained", "trained_twice", "out_of_order", "damaged",
             "alien")

    def __init__(self):
        self.counts = dict.fromkeys(self.COUNTS, 0)
        self.problems = []

    def __getattr__(self, name):
        try:
            return self.__dict__["counts"][name]
        except KeyError:
            raise AttributeError(name) from None

    def add(self, name, problem=None, count=1):
        self.counts[name] += count
        if problem and len(self.problems) < 20:
            self.problems.append(f"{name}: {problem}")

    @property
    def sound(self):
        return not any(self.counts[name] for name in self.WRONG)

    def __str__(self):
        counts = ", ".join(f"{k} {v}" for k, v in self.counts.items() if v)
        return "\n  ".join([counts, *self.problems])


class Ledger:
    """The events of one topic. tag: begins each id; broken: one event of so
    many is broken, 0 for none."""

    def __init__(self, oracle, topic, tag="e", seed=1, broken=BROKEN_EVERY,
                 padding=200, answers=True):
        """answers: the teacher's are those that the events hold."""
        self.oracle = oracle
        self.topic = topic
        self.tag = tag
        self.broken = broken
        self.padding = padding
        self.answers = answers
        self.rng = random.Random(seed)
        self.partitions = oracle.partitions(topic)
        self.next = 0
        self.at = {}  # (partition, offset) -> number
        self.producer = oracle.shared_producer()
        self.expired = set()  # numbers that retention took

    # ---- issue ----

    def event_id(self, n):
        return f"{self.tag}-{n}"

    def is_broken(self, n):
        return self.broken > 0 and n % self.broken == self.broken - 1

    def event(self, n):
        """The bytes of an event, always the same."""
        text = json.dumps({
            "event_id": self.event_id(n),
            "timestamp": EPOCH_MS + n,
            "user": f"u{n * 7919 % 997}",
            "item": f"Ö{n * 104729 % 101}",
            "liked": n % 3 == 0,
            "answer": round(3 * math.sin(n), 4),
            "note": "x" * (n * 31 % max(1, self.padding)),
        }, ensure_ascii=n % 2 == 0).encode()
        return text[:-9] + b"\xff" if self.is_broken(n) else text

    def key(self, n):
        return None if n % 5 == 0 else f"u{n * 7919 % 997}".encode()

    def headers(self, n):
        return [("traceparent", f"00-{n:032x}-{n:016x}-01".encode()),
                ("number", str(n).encode()), ("empty", b""), ("null", None)]

    def issue(self, count, partition=None):
        """Writes events; those that are not flushed are on their way."""
        for _ in range(count):
            n = self.next
            self.next += 1
            where = (self.rng.randrange(self.partitions) if partition is None
                     else partition)
            while True:
                try:
                    self.producer.produce(
                        self.topic, self.event(n), key=self.key(n),
                        partition=where, headers=self.headers(n),
                        on_delivery=self.delivered(n))
                    break
                except BufferError:
                    self.producer.poll(0.1)
            self.producer.poll(0)

    def delivered(self, n):
        def on_delivery(err, message):
            assert err is None, err
            self.at[message.partition(), message.offset()] = n
        return on_delivery

    def flush(self, seconds=120):
        """Waits until everything issued lies in the topic."""
        left = self.producer.flush(seconds)
        assert left == 0, f"{left} events could not be written"
        assert len(self.at) == self.next

    def grow(self, partitions):
        """The topic has more partitions from now on."""
        self.oracle.grow(self.topic, partitions)
        while self.partitions < partitions:  # until the producer knows
            self.partitions = len(patiently(lambda: self.producer.list_topics(
                self.topic, timeout=10)).topics[self.topic].partitions)

    def expire(self):
        """Reads from the topic what retention took away for good: what is
        neither label nor dead letter of these is not lost by the daemon."""
        starts = self.oracle.starts(self.topic)
        self.expired |= {n for (p, o), n in self.at.items() if o < starts[p]}

    def readable(self):
        """How many of the events can become labels."""
        return sum(not self.is_broken(n) and n not in self.expired
                   for n in range(self.next))

    # ---- judge ----

    def judge(self, labels=None, dead=None, checkpoint=None,
              uncommitted=False):
        """An Account. labels, dead: topics; checkpoint: the trainer's
        directory; without it, training is not judged."""
        account = Account()
        account.add("issued", count=self.next)
        labelled = self.judge_labels(account, labels, uncommitted)
        letters = self.judge_dead(account, dead)
        for n in range(self.next):
            if n in labelled or n in letters:
                continue
            if n in self.expired:
                account.add("expired")
            else:
                account.add("lost", self.event_id(n))
        if checkpoint:
            self.judge_training(account, labelled, checkpoint)
        return account

    def judge_labels(self, account, topic, uncommitted):
        """The numbers that have a label."""
        seen, last = set(), {}
        for m in self.oracle.read(topic, uncommitted):
            label = json.loads(m.value())
            source = label["source"]
            where = source["partition"], source["offset"]
            n = self.at.get(where)
            if n is None or source["topic"] != self.topic:
                account.add("alien", m.value()[:200])
                continue
            if m.partition() != where[0]:
                account.add("out_of_order", f"{where} lies in partition "
                            f"{m.partition()} of the labels")
            if n in seen:
                account.add("duplicate_labels")
            elif m.partition() != where[0]:
                pass  # says nothing of the order in its own
            elif where[1] < last.get(where[0], -1):
                account.add("out_of_order",
                            f"{where} came after {last[where[0]]}")
            else:
                last[where[0]] = where[1]
            seen.add(n)
            if not self.is_intact(n, m, label):
                account.add("damaged", m.value()[:300])
        account.add("labelled", count=len(seen))
        return seen

    def is_intact(self, n, m, label):
        event = self.event(n)
        headers = m.headers() or []
        kept = [h for h in headers if not h[0].startswith("distilld-")]
        when = dict(headers).get("distilld-event-time")
        return (not self.is_broken(n) and event in m.value()
                and label["event"] == json.loads(event)
                and self.is_answered(label)
                and m.key() == self.key(n) and kept == self.headers(n)
                and when == str(EPOCH_MS + n).encode())

    def is_answered(self, label):
        """With the event's answer; without one where that says why."""
        if not label.get("sample", {"chosen": True})["chosen"]:
            return label["soft_label"] == {} and "teacher" not in label
        answer = label["soft_label"].get("liked")
        answer = answer[0] if isinstance(answer, list) else answer
        if not self.answers:
            return math.isfinite(answer)
        return abs(answer - label["event"]["answer"]) < 1e-6

    def judge_dead(self, account, topic):
        """The numbers that have a dead letter."""
        seen = set()
        for m in self.oracle.read(topic) if topic else ():
            letter = json.loads(m.value())
            source = letter["source"]
            n = self.at.get((source["partition"], source["offset"]))
            if n is None or source["topic"] != self.topic:
                account.add("alien", m.value()[:200])
                continue
            wanted = self.key(n), self.headers(n), self.event(n)
            if (not self.is_broken(n) or not letter["reason"]
                    or read_letter(letter) != wanted):
                account.add("damaged", m.value()[:300])
            seen.add(n)
        account.add("dead_lettered", count=len(seen))
        return seen

    def judge_training(self, account, labelled, checkpoint):
        """Each label was trained exactly once."""
        trained = self.trained(checkpoint)
        for n in labelled:
            times = trained.pop(id_of(self.event_id(n)), 0)
            if times == 0:
                account.add("untrained", self.event_id(n))
            elif times > 1:
                account.add("trained_twice",
                            f"{self.event_id(n)}: {times} times")
        for key, times in trained.items():
            account.add("alien", f"id {key} was trained {times} times")

    @staticmethod
    def trained(checkpoint):
        """{id: sightings} of the trainer's table; {} without a version."""
        done = subprocess.run(
            [binary(), "inspect", checkpoint, "--ids", "event_id"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=120, check=False)
        rows = [line.split("\t") for line in done.stdout.splitlines()[1:]]
        return {int(r[0]): int(r[2]) for r in rows}
