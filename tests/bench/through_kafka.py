# SPDX-License-Identifier: Apache-2.0
"""Speed through a real one-broker Kafka on this machine, beside a peer in
Python that does the same work (peer_kafka.py).

Rates: the topic is filled first, then caught up with; from the first label or
example that is seen to the last one. Product and peer take turns, the first
turn of each is discarded, and medians are compared. Latencies: an open loop
over one partition (kafka_load.c), so that the n-th example that was trained is
the n-th event; when each step was done is what the trainer logs at level
debug, and what the peer writes down. Their floor is a relay that sends each
event on as it is (kafka_load.c). A pause is the longest time from when a label
could be read to when it was trained on; checkpoints are written meanwhile.
"""

import bisect
import calendar
import http.client
import json
import os
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from cache import peer_packages  # noqa: E402
from integration import wait_until  # noqa: E402
from kafka import Cluster, end_well, free_ports, pdeathsig  # noqa: E402
from oracle import KafkaException, Oracle  # noqa: E402
from service import Daemon  # noqa: E402

EVENTS = int(os.environ.get("BENCH_KAFKA_EVENTS", "1500000"))
TURNS = int(os.environ.get("BENCH_KAFKA_TURNS", "3"))
PARTITIONS = 4
CHECKPOINT_EVERY = 1000000
PACE_S = 12
SLOW_RATE = 2000
SLOW_CHECKPOINT_EVERY = 5000
SECONDS = 180  # a turn may take that long
PER_S, MS, US = "events/s", "ms", "us/event"
FEATURES = ("user", "item", "author", "category", "country", "device",
            "hour", "campaign")
STUDENT = {"embedding_width": 16, "hidden": [128, 64], "linear": False,
           "fm": False}
TEACHER = {"embedding_width": 32, "hidden": [512, 256], "linear": False,
           "fm": False}

def cpu_by_thread(pid):
    """{name: ns of processor time} of a process's threads."""
    found = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/comm", encoding="utf-8") as f:
                name = re.sub(r"rdk:broker.*", "rdk:broker", f.read().strip())
            with open(f"/proc/{pid}/task/{task}/schedstat",
                      encoding="ascii") as f:
                spent = int(f.read().split()[0])
        except OSError:
            continue  # it has ended
        found[name] = found.get(name, 0) + spent
    return found


def memory(pid, key, file="status"):
    """A line of /proc/PID/status or smaps_rollup, in MiB."""
    with open(f"/proc/{pid}/{file}", encoding="ascii") as f:
        return next(int(line.split()[1]) / 1024 for line in f
                    if line.startswith(key + ":"))


class Topics:
    """A fresh labels topic and group for each turn."""

    count = 0

    def __init__(self, bench, events, partitions):
        Topics.count += 1
        self.oracle, self.partitions = bench.oracle, partitions
        self.events, self.checkpoint_every = events, CHECKPOINT_EVERY
        self.labels, self.group = (f"{word}-{Topics.count}" for word in
                                   ("labels", "group"))
        self.oracle.create(self.labels, partitions,
                           message_timestamp_type="LogAppendTime")

    def label_count(self):
        return sum(self.oracle.ends(self.labels).values())

    def delete(self):
        self.oracle.delete(self.labels)


class Product:
    """distilld, both roles in one process. debug: it logs each step."""

    name = "distilld"

    def __init__(self, bench, topics, roles, teacher, debug=False):
        self.bench, self.topics, self.dir = bench, topics, bench.folder()
        self.roles, self.teacher, self.debug = roles, teacher, debug
        self.port = free_ports(1)[0]
        self.daemon = None
        with open(self.path("run.yaml"), "w", encoding="ascii") as f:
            json.dump(self.settings(), f, indent=1)

    def path(self, name):
        return os.path.join(self.dir, name)

    def settings(self):
        teacher = ({"kind": "field"} if self.teacher == "field" else
                   {"kind": "checkpoint", "path": self.bench.teacher()})
        return {
            "roles": self.roles, "name": "bench",
            "kafka": {"bootstrap.servers": self.bench.bootstrap},
            "create_topics": {"enabled": True},
            "events": {"log": "kafka", "topic": self.topics.events,
                       "group": self.topics.group},
            "labels": {"log": "kafka", "topic": self.topics.labels},
            "dead_letters": {"log": "kafka", "topic": "dead-letters"},
            "features": {name: {"kind": "categorical"} for name in FEATURES},
            "tasks": {"click": {"kind": "binary", "path": "clicked",
                                "teacher_path": "teacher"}},
            "teacher": teacher, "student": STUDENT, "baseline": False,
            "checkpoint": {"path": self.path("checkpoints"),
                           "every": self.topics.checkpoint_every},
            "publish": {"path": ""},
            # Like the peer, it trains on what is there.
            "train": {"flush": "5ms" if self.debug else "200ms"},
            "admin": {"listen": f"127.0.0.1:{self.port}"},
            "log": {"level": "debug" if self.debug else "info"},
            **self.bench.more,
        }

    def start(self):
        self.daemon = Daemon(self.path("run.yaml"), self.path("log"))

    def pids(self):
        return [self.daemon.pid]

    def check(self):
        assert self.daemon.status is None, self.daemon.tail()

    def ask(self, path):
        """(status, page) of the admin port; before it answers, (0, "")."""
        try:
            ask = http.client.HTTPConnection("127.0.0.1", self.port, 5)
            ask.request("GET", path)
            answer = ask.getresponse()
            page = answer.read().decode()
            ask.close()
            return answer.status, page
        except OSError:
            return 0, ""

    def metric(self, name):
        """The sum of a metric's lines."""
        page = self.ask("/metrics")[1]
        return sum(float(v) for v in re.findall(
            rf"^distilld_{name}(?:\{{.*\}})? (\S+)$", page, re.M))

    def trained(self):
        return int(self.metric("train_examples_total"))

    def wait_until_there(self):
        wait_until(lambda: self.ask("/readyz")[0] == 200, 60,
                   self.daemon.log)

    def steps(self):
        """[(ns since 1970, examples so far)] of each step that was logged."""
        found, count = [], 0
        with open(self.path("log"), encoding="utf-8") as f:
            for line in f:
                step = re.match(r"(\S+)\.(\d+)Z? .* examples=(\d+) ", line)
                if step and " train_step " in line:
                    at = calendar.timegm(time.strptime(step[1][:19],
                                                       "%Y-%m-%dT%H:%M:%S"))
                    count += int(step[3])
                    found.append((int(at * 10 ** 9 + int(
                        step[2].ljust(9, "0"))), count))
        return found

    def memory(self):
        """Peak resident memory."""
        return memory(self.daemon.pid, "VmHWM")

    def stop(self):
        self.daemon.stop()


class Peer:
    """The peer, a process a role, on its packages."""

    name = "peer"

    def __init__(self, bench, topics, roles, teacher, debug=False):
        del debug  # it always writes its steps down
        self.dir, self.topics = bench.folder(), topics
        self.roles, self.processes = roles, []
        self.progress = os.path.join(self.dir, "progress")
        self.config = os.path.join(self.dir, "config.json")
        with open(self.config, "w", encoding="ascii") as f:
            json.dump({"bootstrap": bench.bootstrap, "events": topics.events,
                       "labels": topics.labels, "group": topics.group,
                       "partitions": topics.partitions, "teacher": teacher,
                       "checkpoint": os.path.join(self.dir, "checkpoint"),
                       "checkpoint_every": topics.checkpoint_every,
                       "progress": self.progress}, f)

    def start(self):
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(peer_packages()),
               "OMP_NUM_THREADS": "1"}
        here = os.path.join(os.path.dirname(__file__), "peer_kafka.py")
        for role in self.roles:
            with open(os.path.join(self.dir, "log"), "ab") as log:
                self.processes.append(subprocess.Popen(
                    pdeathsig([sys.executable, here, role, self.config]),
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    stderr=log, env=env))
        for process in self.processes:
            process.stdout.readline()
        for process in self.processes:
            process.stdin.write(b"\n")
            process.stdin.flush()

    def pids(self):
        return [p.pid for p in self.processes]

    def check(self):
        if any(p.poll() is not None for p in self.processes):
            with open(os.path.join(self.dir, "log"), encoding="utf-8") as f:
                raise AssertionError("the peer ended: " + f.read()[-2000:])

    def trained(self):
        steps = self.steps(last=True)
        return steps[-1][1] if steps else 0

    def wait_until_there(self):
        time.sleep(2)  # it subscribes

    def steps(self, last=False):
        try:
            with open(self.progress, "rb") as f:
                if last and f.seek(0, os.SEEK_END) >= 16:
                    f.seek(-16, os.SEEK_END)
                data = f.read()
        except FileNotFoundError:
            return []
        return list(struct.iter_unpack("<qq", data[:len(data) // 16 * 16]))

    def memory(self):
        """What both use at the end, shared pages counted once."""
        return sum(memory(pid, "Pss", "smaps_rollup") for pid in self.pids())

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()


class Relay:
    """librdkafka alone, without a service: a floor of the latencies."""

    name = "relay"

    def __init__(self, bench, topics, *_):
        self.command = [bench.tool, "relay", bench.bootstrap, topics.events,
                        topics.labels]
        self.process = None

    def start(self):
        self.process = subprocess.Popen(pdeathsig(self.command))

    def wait_until_there(self):
        time.sleep(2)  # it knows where its partition is

    def check(self):
        assert self.process.poll() is None, "the relay ended"

    def stop(self):
        self.process.kill()
        self.process.wait()


class Bench:
    """A broker with events, and what is measured through it."""

    def __init__(self, out, folder, names, cluster):
        self.tool = os.path.join(out, "tests/bench/kafka_load")
        self.daemon = os.path.join(out, "distilld")
        self.root, self.names = folder, names
        self.bootstrap = cluster.bootstrap
        self.oracle = Oracle(self.bootstrap)
        # Settings of the service to try: JSON.
        self.more = json.loads(os.environ.get("BENCH_KAFKA_SETTINGS", "{}"))
        self.with_peer = not os.environ.get("BENCH_KAFKA_ALONE")
        self.results = []
        self.teacher_path = None

    def folder(self):
        return tempfile.mkdtemp(dir=self.root)

    def load(self, *args, **more):
        return subprocess.run([self.tool, *map(str, args)], check=True,
                              stdout=subprocess.PIPE, **more).stdout

    def wants(self, name):
        return not self.names or any(
            n == "kafka" or name.startswith(n) or n.startswith(name)
            for n in self.names)

    def add(self, name, value, unit, peer=None, floor=None):
        self.results.append({"name": name, "value": value, "unit": unit,
                             "floor": floor, "peer": peer})
        ratio = ""
        if peer:
            of = value / peer if unit == PER_S else peer / value
            ratio = f"{of:6.2f}x"
        least = f"  (floor {floor:.4g})" if floor is not None else ""
        print(f"{name:<36}{value:>12.4g} "
              f"{'-' if peer is None else format(peer, '.4g'):>12} "
              f"{ratio:>8}  {unit}{least}", flush=True)

    def teacher(self):
        """A checkpoint of the teacher, which is made once."""
        if self.teacher_path is None:
            folder = self.folder()
            events = os.path.join(folder, "events.ndjson")
            with open(events, "wb") as f:
                f.write(self.load("events", 50000))
            config = os.path.join(folder, "teacher.yaml")
            with open(config, "w", encoding="ascii") as f:
                json.dump({
                    "roles": ["train"], "events": {"path": events},
                    "features": {name: {"kind": "categorical"}
                                 for name in FEATURES},
                    "tasks": {"click": {"kind": "binary", "path": "clicked"}},
                    "student": TEACHER, "baseline": False,
                    "train": {"input": "events"},
                    "dead_letters": {"path": os.path.join(folder, "dead")},
                    "checkpoint": {"path": os.path.join(folder, "teacher")},
                    "publish": {"path": ""}, "log": {"level": "warn"}}, f)
            subprocess.run([self.daemon, "run", "-c", config], check=True,
                           stdout=subprocess.DEVNULL)
            self.teacher_path = os.path.join(folder, "teacher")
        return self.teacher_path

    # ---- rates ----

    def catch_up(self, one, labels, examples):
        """Runs one until it has made so many labels (None: does not count)
        and trained so many examples. Events a second, CPU by thread."""
        started, at, first = time.monotonic(), None, {}
        done, wanted, seen = 0, labels or examples, 0
        one.start()
        try:
            while done < wanted:
                time.sleep(0.05)
                made = one.topics.label_count() if labels else examples
                learned = one.trained() if examples else labels
                done = min(made, learned)
                now = time.monotonic()
                one.check()
                assert now - started < SECONDS, f"{one.name}: {done} events"
                if at is None and (made if labels else learned) > 0:
                    at, seen = now, 0 if labels and examples else done
                    first = [cpu_by_thread(pid) for pid in one.pids()]
            cpu = {}
            for pid, before in zip(one.pids(), first):
                for name, spent in cpu_by_thread(pid).items():
                    cpu[name] = cpu.get(name, 0) + spent - before.get(name, 0)
            rate = (wanted - seen) / (now - at)
            return rate, cpu, one.memory()
        finally:
            one.stop()

    def turns(self, roles, teacher, labels=None):
        """Medians of product and peer: [(rate, cpu, memory), ...]. labels:
        a topic that is there, for the trainer alone."""
        makers = [Product, Peer] if self.with_peer else [Product]
        found = {maker: [] for maker in makers}
        for turn in range(TURNS + 1):
            for maker in makers:
                topics = labels or Topics(self, "events", PARTITIONS)
                kind = "model" if maker is Peer and teacher != "field" \
                    else teacher
                got = self.catch_up(
                    maker(self, topics, roles, kind),
                    EVENTS if "annotate" in roles else None,
                    EVENTS if "train" in roles else None)
                if not labels:
                    topics.delete()
                if turn > 0:
                    found[maker].append(got)
        medians = []
        for maker in makers:
            by_rate = sorted(found[maker], key=lambda got: got[0])
            medians.append(by_rate[len(by_rate) // 2])
        return medians + [None] * (2 - len(medians))

    def rate(self, name, roles, teacher, labels=None):
        product, peer = self.turns(roles, teacher, labels)
        self.add(name, product[0], PER_S, peer[0] if peer else None)
        return product, peer

    def add_shares(self, product, peer):
        """CPU and memory of the run with labels from the event."""
        _, cpu, resident = product
        for name, spent in sorted(cpu.items(), key=lambda item: -item[1]):
            if spent > EVENTS:  # a nanosecond an event
                self.add(f"cpu.kafka.{name}", spent / EVENTS / 1e3, US)
        self.add("cpu.kafka", sum(cpu.values()) / EVENTS / 1e3, US,
                 sum(peer[1].values()) / EVENTS / 1e3 if peer else None)
        self.add("rss_mib", resident, "MiB", peer[2] if peer else None)

    # ---- latencies ----

    def pace(self, maker, rate):
        """{name: ms} of a run at a rate of events a second."""
        events = f"paced-{Topics.count}"
        self.oracle.create(events, 1)
        topics = Topics(self, events, 1)
        if rate == SLOW_RATE:
            topics.checkpoint_every = SLOW_CHECKPOINT_EVERY
        one = maker(self, topics, ["annotate", "train"], "field", True)
        file = os.path.join(self.folder(), "latencies")
        count = int(rate * PACE_S)
        one.start()
        try:
            one.wait_until_there()
            self.load("pace", self.bootstrap, events, topics.labels, rate,
                      PACE_S, file)
            end = time.monotonic() + SECONDS
            while maker is not Relay and one.trained() < count and \
                    time.monotonic() < end:
                one.check()
                time.sleep(0.1)
        finally:
            one.stop()
        topics.delete()
        self.oracle.delete(events)
        return self.judge(file, count, None if maker is Relay else one.steps())

    @staticmethod
    def judge(file, count, steps):
        """steps: None where nothing is trained."""
        with open(file, encoding="ascii") as f:
            stamps = [tuple(map(int, line.split())) for line in f]
        counts = [n for _, n in steps or []]
        found, values = {}, {"event_to_label": [], "event_to_trained": []}
        pause = 0
        for i in range(count // 4, count):  # what is before warms up
            due, labeled = stamps[i]
            assert labeled, f"event {i} of {count} has no label"
            values["event_to_label"].append((labeled - due) / 1e6)
            if steps is None:
                continue
            step = bisect.bisect_left(counts, i + 1)
            assert step < len(steps), f"event {i} of {count} was not trained"
            values["event_to_trained"].append((steps[step][0] - due) / 1e6)
            pause = max(pause, (steps[step][0] - labeled) / 1e6)
        for name in filter(values.get, values):
            cuts = statistics.quantiles(values[name], n=100,
                                        method="inclusive")
            found[f"latency.{name}.p50_ms"] = cuts[49]
            found[f"latency.{name}.p99_ms"] = cuts[98]
        if steps is not None:
            found["train.longest_pause_ms"] = pause
        return found

    def latencies(self, rates, suffix, turns):
        """Each maker at its rate; the first turn of each is discarded, and
        the medians of the others are what counts."""
        found = {maker: [] for maker in rates}
        for turn in range(turns + 1):
            for maker, rate in rates.items():
                got = self.pace(maker, rate)
                if turn > 0:
                    found[maker].append(got)
        medians = {maker: {name: statistics.median(g[name] for g in got)
                           for name in got[0]} for maker, got in found.items()}
        for name, value in medians[Product].items():
            self.add(name + suffix, value, MS,
                     medians.get(Peer, {}).get(name),
                     medians.get(Relay, {}).get(name))

    # ---- all of it ----

    def ceiling(self):
        """What librdkafka alone reads."""
        rates = [float(self.load("consume", self.bootstrap, "events",
                                 PARTITIONS, EVENTS))
                 for _ in range(TURNS + 1)]
        self.add("kafka.consume", statistics.median(rates[1:]), PER_S)

    def run(self):
        print(f"\n{'through Kafka':<36}{'value':>12} {'peer':>12} "
              f"{'':>8}  unit", flush=True)
        self.oracle.create("events", PARTITIONS)
        self.oracle.create("dead-letters", PARTITIONS)
        self.load("fill", self.bootstrap, "events", PARTITIONS, EVENTS)
        both = ["annotate", "train"]
        half = None
        if self.wants("kafka.consume"):
            self.ceiling()
        if any(map(self.wants, ("e2e.kafka.field", "rss_mib", "cpu.kafka",
                                "latency.event"))):
            product, peer = self.rate("e2e.kafka.field", both, "field")
            self.add_shares(product, peer)
            half = {Product: int(product[0] / 2)}
            if peer:
                half[Peer] = int(peer[0] / 2)
        if self.wants("e2e.kafka.teacher"):
            self.rate("e2e.kafka.teacher", both, "model")
        if self.wants("annotate.kafka"):
            self.rate("annotate.kafka", ["annotate"], "field")
        if self.wants("train.kafka"):
            labels = Topics(self, "events", PARTITIONS)
            self.catch_up(Product(self, labels, ["annotate"], "field"),
                          EVENTS, None)
            self.rate("train.kafka", ["train"], "field", labels)
            labels.delete()
        if self.wants("latency.event"):
            self.latencies({maker: SLOW_RATE for maker in
                            [Relay, Product] + [Peer] * self.with_peer}, "",
                           TURNS)
            # Each at half of its own: the peer would drown in the product's.
            self.latencies(half, ".half", 1)


def measure(out, names):
    """The results, as in build/bench.json."""
    end_well()
    with tempfile.TemporaryDirectory(prefix="distilld-bench-") as folder, \
            Cluster(heap=768) as cluster:
        os.environ["OUT"] = out
        bench = Bench(os.path.abspath(out), folder, names, cluster)
        try:
            bench.run()
        except KafkaException as e:
            raise AssertionError(str(e)) from e
    return bench.results
