#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same service as a good engineer writes it in Python: what the product
is compared with.

    peer_kafka.py annotate CONFIG    events topic -> labels topic
    peer_kafka.py train CONFIG       labels topic -> checkpoint

One process a role, one thread of PyTorch each. Messages come a thousand at a
time, orjson decodes them, numpy hashes all ids of a chunk at once, one forward
pass a chunk; the event's bytes go into its label as they are. The trainer's
embedding has sparse gradients and Adagrad steps, and its checkpoint holds
parameters, optimizer and offsets. Offsets of events are committed behind a
flush, once a second.

CONFIG is JSON: bootstrap, events, labels, group, partitions, teacher (field or
model), checkpoint, checkpoint_every, count, progress. Each role says "ready"
and waits for a line on standard input. Training adds 16 bytes to the file
progress after each step: the time in ns and the examples so far.
"""

import json
import operator
import os
import struct
import sys
import time

from confluent_kafka import (OFFSET_BEGINNING, Consumer, Producer,
                             TopicPartition)
import numpy as np
import orjson

FEATURES = ("user", "item", "author", "category", "country", "device",
            "hour", "campaign")
CHUNK = 1000
ROWS = 1 << 17  # of each feature's table
WAIT_S = 0.002

take_ids = operator.itemgetter(*FEATURES)


def hash_ids(events):
    """(B, features) row numbers in one table of all features."""
    text = np.array([take_ids(e) for e in events], dtype="S16")
    halves = text.view(np.uint64).reshape(len(events), len(FEATURES), 2)
    h = halves[:, :, 0] * np.uint64(0x9e3779b97f4a7c15)
    h ^= halves[:, :, 1] * np.uint64(0xbf58476d1ce4e5b9)
    h ^= h >> np.uint64(29)
    h *= np.uint64(0x94d049bb133111eb)
    h >>= np.uint64(64 - 17)
    return (h + np.arange(len(FEATURES), dtype=np.uint64)
            * np.uint64(ROWS)).astype(np.int64)


def make_model(torch, width, hidden):
    """Embeddings of all features side by side, then an MLP."""
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.nn.Embedding(ROWS * len(FEATURES), width,
                                            sparse=True)
            torch.nn.init.normal_(self.table.weight, std=0.01)
            layers, inputs = [], width * len(FEATURES)
            for units in hidden:
                layers += [torch.nn.Linear(inputs, units), torch.nn.ReLU()]
                inputs = units
            self.mlp = torch.nn.Sequential(*layers, torch.nn.Linear(inputs, 1))

        def forward(self, ids):
            return self.mlp(self.table(ids).flatten(1)).squeeze(1)
    torch.manual_seed(1)
    return Model()


def wait_for_start():
    print("ready", flush=True)
    sys.stdin.readline()


def read(consumer, wait_s=WAIT_S):
    """A chunk of messages: what is there, after a wait for the first."""
    chunk = consumer.consume(CHUNK, wait_s)
    return [m for m in chunk if m.error() is None]


def annotate(config):
    logits_of = None
    if config["teacher"] == "model":
        import torch
        torch.set_num_threads(1)
        teacher = make_model(torch, 32, (512, 256)).eval()

        def logits_of(events):
            with torch.inference_mode():
                return teacher(torch.from_numpy(hash_ids(events))).tolist()
    consumer = Consumer({
        "bootstrap.servers": config["bootstrap"],
        "group.id": config["group"], "enable.auto.commit": False,
        "auto.offset.reset": "earliest", "fetch.queue.backoff.ms": 5})
    producer = Producer({
        "bootstrap.servers": config["bootstrap"], "linger.ms": 2,
        "enable.idempotence": True, "queue.buffering.max.messages": 500000})
    wait_for_start()
    consumer.subscribe([config["events"]])
    topic, committed = config["labels"], time.monotonic()
    is_ahead = False
    while True:
        chunk = read(consumer)
        if chunk:
            values = [m.value() for m in chunk]
            events = [orjson.loads(v) for v in values]
            logits = (logits_of(events) if logits_of
                      else [e["teacher"] for e in events])
            for m, value, logit in zip(chunk, values, logits):
                head = (b'{"source":{"partition":%d,"offset":%d},'
                        b'"soft_label":{"click":[%.7g]},"event":'
                        % (m.partition(), m.offset(), logit))
                while True:
                    try:
                        producer.produce(topic, head + value + b"}", m.key(),
                                         m.partition())
                        break
                    except BufferError:
                        producer.poll(0.01)
            producer.poll(0)
            is_ahead = True
        if is_ahead and time.monotonic() - committed > 1:
            producer.flush()
            consumer.commit(asynchronous=True)
            committed, is_ahead = time.monotonic(), False


def save(torch, model, optimizers, offsets, path):
    """One file, whole or not at all."""
    with open(path + ".new", "wb") as f:
        torch.save({"model": model.state_dict(), "offsets": offsets,
                    "optimizers": [o.state_dict() for o in optimizers]}, f)
        f.flush()
        os.fsync(f.fileno())
    os.rename(path + ".new", path)


def train(config):
    import torch
    torch.set_num_threads(1)
    model = make_model(torch, 16, (128, 64))
    optimizers = [torch.optim.Adagrad(model.table.parameters(), lr=0.05),
                  torch.optim.Adagrad(model.mlp.parameters(), lr=0.05)]
    loss_of = torch.nn.functional.binary_cross_entropy_with_logits
    offsets = {}
    consumer = Consumer({
        "bootstrap.servers": config["bootstrap"], "group.id": "peer-train",
        "enable.auto.commit": False, "auto.offset.reset": "earliest",
        "fetch.queue.backoff.ms": 5})
    wait_for_start()
    consumer.assign([TopicPartition(config["labels"], p, OFFSET_BEGINNING)
                     for p in range(config["partitions"])])
    trained, saved = 0, 0
    with open(config["progress"], "ab", buffering=0) as progress:
        while True:
            chunk = read(consumer)
            if not chunk:
                continue
            records = [orjson.loads(m.value()) for m in chunk]
            events = [r["event"] for r in records]
            ids = torch.from_numpy(hash_ids(events))
            targets = torch.tensor(
                [[e["clicked"], r["soft_label"]["click"][0]]
                 for e, r in zip(events, records)], dtype=torch.float32)
            logits = model(ids)
            loss = loss_of(logits, targets[:, 0]) + loss_of(
                logits, torch.sigmoid(targets[:, 1]))
            for o in optimizers:
                o.zero_grad(set_to_none=True)
            loss.backward()
            for o in optimizers:
                o.step()
            for m in chunk:
                offsets[m.partition()] = m.offset() + 1
            trained += len(chunk)
            progress.write(struct.pack("<qq", time.time_ns(), trained))
            if trained - saved >= config["checkpoint_every"]:
                saved = trained
                save(torch, model, optimizers, offsets, config["checkpoint"])


def main():
    with open(sys.argv[2], encoding="utf-8") as f:
        config = json.load(f)
    {"annotate": annotate, "train": train}[sys.argv[1]](config)


if __name__ == "__main__":
    main()
