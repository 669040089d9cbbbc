# SPDX-License-Identifier: Apache-2.0
"""An independent view of a Kafka cluster: a client with another librdkafka
than the daemon's, for writing events and for reading what came of them."""

import time

from cache import python_packages

python_packages()

import xxhash  # noqa: E402,F401
from confluent_kafka import (  # noqa: E402
    OFFSET_BEGINNING, Consumer, IsolationLevel, KafkaError, KafkaException,
    Producer, TopicPartition)
from confluent_kafka.admin import (  # noqa: E402
    AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions,
    NewTopic, OffsetSpec, ResourceType)

SECONDS = 60  # what a broker under load may take to answer
AGAIN = (KafkaError._TRANSPORT, KafkaError._TIMED_OUT,
         KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT_QUEUE,
         KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION,
         KafkaError.REQUEST_TIMED_OUT, KafkaError.COORDINATOR_NOT_AVAILABLE,
         KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.NOT_COORDINATOR,
         KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION,
         KafkaError.NOT_CONTROLLER, KafkaError._WAIT_COORD,
         KafkaError.NETWORK_EXCEPTION, KafkaError.BROKER_NOT_AVAILABLE,
         KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.FENCED_LEADER_EPOCH,
         KafkaError.OFFSET_NOT_AVAILABLE, KafkaError.KAFKA_STORAGE_ERROR,
         KafkaError._NOENT,  # a partition without a leader
         KafkaError._DESTROY_BROKER,
         KafkaError.INVALID_REPLICA_ASSIGNMENT)  # they are fenced still


def patiently(ask, seconds=SECONDS, but=()):
    """ask() again while the cluster is not there yet; but: errors that are
    an answer."""
    end = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except KafkaException as e:
            code = e.args[0].code()
            if code in but or code not in AGAIN or time.monotonic() > end:
                raise
            time.sleep(0.1)


class Oracle:
    """What the tests know and do by themselves. bootstrap: addresses; more:
    properties for each client."""

    def __init__(self, bootstrap, **more):
        # Messages of clients that watch brokers die are of no interest. A
        # broker that is frozen counts as there until a request times out.
        self.common = {"bootstrap.servers": bootstrap, "log_level": 0,
                       "topic.metadata.refresh.interval.ms": 5000,
                       "reconnect.backoff.max.ms": 500,
                       "socket.timeout.ms": 5000, **more}
        self.admin = AdminClient(self.common)
        self.sender = None
        self.readers = {}  # by isolation level: a new one takes 0.5 s
        self.groups = {}  # consumers that join none

    # ---- topics ----

    def create(self, topic, partitions=4, copies=1, on=None, **config):
        """Makes a topic; config: with _ for the dots of its settings; on:
        the broker that all of it lies on."""
        settings = {k.replace("_", "."): str(v) for k, v in config.items()}
        where = ({"replication_factor": copies} if on is None else
                 {"replica_assignment": [[on]] * partitions})
        wanted = NewTopic(topic, partitions, config=settings, **where)
        patiently(lambda: self.admin.create_topics(
            [wanted], request_timeout=10)[topic].result())
        self.await_topic(topic, partitions)

    def delete(self, topic):
        """Removes a topic and waits until it is gone."""
        patiently(lambda: self.admin.delete_topics([topic])[topic].result(),
                  but=(KafkaError.UNKNOWN_TOPIC_OR_PART,))
        end = time.monotonic() + SECONDS
        while self.partitions(topic):
            assert time.monotonic() < end, f"{topic} stays"
            time.sleep(0.1)

    def grow(self, topic, partitions):
        patiently(lambda: self.admin.create_partitions(
            [NewPartitions(topic, partitions)])[topic].result())
        self.await_topic(topic, partitions)

    def await_topic(self, topic, partitions):
        """Waits until all its partitions have leaders."""
        end = time.monotonic() + SECONDS
        while True:
            found = self.leaders(topic)
            if len(found) >= partitions and -1 not in found.values():
                return
            assert time.monotonic() < end, f"{topic} has {found}"
            time.sleep(0.05)

    def metadata(self, topic):
        return patiently(lambda: self.admin.list_topics(
            topic, timeout=2)).topics[topic]

    def topics(self):
        return set(patiently(lambda: self.admin.list_topics(
            timeout=2)).topics)

    def leaders(self, topic):
        """{partition: the id of its leader or -1}; {} without the topic."""
        return {p: m.leader for p, m in self.metadata(topic).partitions
                .items()}

    def partitions(self, topic):
        """How many it has; 0: there is no such topic."""
        return len(self.metadata(topic).partitions)

    def config(self, topic):
        """{name: value} of a topic."""
        resource = ConfigResource(ResourceType.TOPIC, topic)
        found = patiently(lambda: self.admin.describe_configs(
            [resource])[resource].result())
        return {name: entry.value for name, entry in found.items()}

    def set_config(self, topic, **config):
        resource = ConfigResource(ResourceType.TOPIC, topic)
        for name, value in config.items():
            resource.add_incremental_config(ConfigEntry(
                name.replace("_", "."), str(value),
                incremental_operation=AlterConfigOpType.SET))
        patiently(lambda: self.admin.incremental_alter_configs(
            [resource])[resource].result())

    def truncate(self, topic, offsets):
        """Deletes what is before {partition: offset}, as retention does."""
        wanted = [TopicPartition(topic, p, o) for p, o in offsets.items()]

        def ask():
            for future in self.admin.delete_records(wanted).values():
                future.result()
        patiently(ask)

    def settle_brokers(self):
        """Makes the cluster create its own topics, on the brokers that are
        there now."""
        self.committed("nobody", "nothing")
        producer = self.producer(**{"transactional.id": "nobody",
                                    "message.timeout.ms": 30000})
        patiently(lambda: producer.init_transactions(30))

    # ---- offsets ----

    def offsets(self, topic, spec, committed=False):
        """committed: as a reader with read_committed sees them."""
        isolation = (IsolationLevel.READ_COMMITTED if committed
                     else IsolationLevel.READ_UNCOMMITTED)
        parts = [TopicPartition(topic, p) for p in
                 range(self.partitions(topic))]

        def ask():
            found = self.admin.list_offsets({p: spec for p in parts},
                                            isolation_level=isolation,
                                            request_timeout=3)
            return {p.partition: f.result().offset for p, f in found.items()}
        return patiently(ask)

    def ends(self, topic):
        """{partition: the next offset}"""
        return self.offsets(topic, OffsetSpec.latest())

    def await_decided(self, topic, seconds=120):
        """Waits until no transaction is open in a topic: one that was left
        behind by a kill hides what is behind it until it times out."""
        latest = OffsetSpec.latest()
        end = time.monotonic() + seconds
        while self.offsets(topic, latest, True) != self.offsets(topic, latest):
            assert time.monotonic() < end, f"{topic}: a transaction is open"
            time.sleep(0.2)

    def starts(self, topic):
        """{partition: the first offset that is still there}"""
        return self.offsets(topic, OffsetSpec.earliest())

    def committed(self, group, topic):
        """{partition: offset} of what the group has committed."""
        # Not the admin client: in 2.16 its answer can crash the process.
        if group not in self.groups:
            self.groups[group] = self.consumer(group)
        wanted = [TopicPartition(topic, p)
                  for p in range(max(1, self.partitions(topic)))]
        found = patiently(lambda: self.groups[group].committed(wanted, 10))
        return {p.partition: p.offset for p in found if p.offset >= 0}

    def lag(self, group, topic):
        """Records between the group's commits and the ends."""
        done = self.committed(group, topic)
        starts = self.starts(topic)
        return sum(max(0, end - done.get(p, starts[p]))
                   for p, end in self.ends(topic).items())

    def members(self, group):
        """How many members the group has; -1 while it moves work around."""
        found = patiently(lambda: self.admin.describe_consumer_groups(
            [group], request_timeout=5)[group].result())
        if found.state.name not in ("STABLE", "EMPTY", "DEAD"):
            return -1
        return len(found.members)

    # ---- messages ----

    def producer(self, **more):
        """One that neither gives up nor repeats itself."""
        return Producer({**self.common, "enable.idempotence": True,
                         "message.timeout.ms": 0, "linger.ms": 5,
                         "queue.buffering.max.messages": 1000000, **more})

    def shared_producer(self):
        """The same one each time: a new one takes 0.5 s."""
        if self.sender is None:
            self.sender = self.producer()
        return self.sender

    def send(self, topic, values, partition=0, **more):
        """Writes values (bytes, or a dict for Producer.produce) and waits."""
        producer = self.producer(**more) if more else self.shared_producer()
        for value in values:
            if not isinstance(value, dict):
                value = {"value": value}
            producer.produce(topic, **{"partition": partition, **value})
        assert producer.flush(SECONDS) == 0

    def read(self, topic, uncommitted=False, seconds=SECONDS):
        """Every message of a topic, partition after partition. uncommitted:
        those of aborted and of open transactions, too."""
        count = self.partitions(topic)
        if count == 0:
            return []
        consumer = self.reader(uncommitted)
        patiently(lambda: consumer.list_topics(topic, timeout=10))
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING)
                         for p in range(count)])
        found = {p: [] for p in range(count)}
        open_ones = set(range(count))
        end = time.monotonic() + seconds
        try:
            while open_ones:
                assert time.monotonic() < end, f"{topic} cannot be read"
                for m in consumer.consume(1000, 0.02):
                    if m.error() is None:
                        found[m.partition()].append(m)
                    elif m.error().code() == KafkaError._PARTITION_EOF:
                        open_ones.discard(m.partition())
        finally:
            consumer.unassign()
        return [m for p in sorted(found) for m in found[p]]

    def reader(self, uncommitted):
        level = "read_uncommitted" if uncommitted else "read_committed"
        if level not in self.readers:
            self.readers[level] = self.consumer("oracle",
                                                **{"isolation.level": level})
        return self.readers[level]

    def consumer(self, group, **more):
        return Consumer({
            **self.common, "group.id": group, "enable.auto.commit": False,
            "enable.partition.eof": True, "fetch.wait.max.ms": 50,
            "auto.offset.reset": "earliest", **more})
