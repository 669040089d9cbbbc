#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the small streams of conf/examples, which are all invented.

    python3 tests/support/make_examples.py

shop-may and shop-june: offers shown in a shop, 600 a month. news: articles
shown, 400, with the answers of a ranker that ran elsewhere; some fields are
missing or null, as in life, and one line is broken.
"""
import gzip
import json
import math
import random
from datetime import datetime, timedelta, timezone
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "data" / "examples"


def logistic(z):
    return 1 / (1 + math.exp(-z))


def write(name, lines):
    OUT.mkdir(parents=True, exist_ok=True)
    with open(OUT / (name + ".ndjson.gz"), "wb") as raw, \
            gzip.GzipFile("", "wb", 9, raw, mtime=0) as f:
        for line in lines:
            if not isinstance(line, str):
                line = json.dumps(line, separators=(",", ":"))
            f.write(line.encode() + b"\n")


class Shop:
    def __init__(self, rng):
        self.rng = rng
        self.taste = [[rng.gauss(0, 0.7) for _ in range(3)] for _ in range(15)]
        self.offers = [
            {"sku": f"A-{100 + i}",
             "price": round(math.exp(rng.uniform(1, 5)), 2),
             "charm": rng.gauss(0, 1.2),
             "look": [round(rng.gauss(0, 1), 2) for _ in range(3)],
             "groups": rng.sample(["garden", "tools", "toys", "books"],
                                  rng.randint(1, 3))}
            for i in range(12)]
        self.orders = [0] * len(self.taste)

    def event(self, number, when):
        rng = self.rng
        person = min(int(rng.expovariate(0.15)), len(self.taste) - 1)
        offer = rng.choice(self.offers)
        z = offer["charm"] + sum(
            a * b for a, b in zip(self.taste[person], offer["look"]))
        z += 0.3 * math.log1p(self.orders[person])
        bought = rng.random() < logistic(z)
        event = {
            "meta": {"uuid": f"{number:08x}", "at": when.isoformat()},
            "customer": {"no": 7000 + person,
                         "since": rng.choice([None, 30 * person + 5]),
                         "orders": self.orders[person]},
            "offer": {"sku": offer["sku"],
                      "price": {"amount": offer["price"], "currency": "EUR"},
                      "groups": [{"id": g} for g in offer["groups"]],
                      "look": offer["look"]},
            "context": {"device": rng.choice(["phone", "phone", "desk"])},
            "result": {"bought": bought},
        }
        if bought:
            self.orders[person] += 1
        if rng.random() < 0.4:
            event["result"]["stars"] = max(1, min(5, round(3 + z)))
        if offer["price"] > 100:
            del event["offer"]["look"]
        return event

    def month(self, first, count):
        when = first
        for i in range(count):
            when += timedelta(seconds=self.rng.randrange(60, 7200))
            yield self.event(i, when)


def news(count):
    rng = random.Random(3)
    topics = ["world", "local", "sport", "science", "music"]
    draw = [1.5, -1.5, 0.8, -0.5, 0]
    likes = [[d + rng.gauss(0, 0.7) for d in draw] for _ in range(15)]
    for i in range(count):
        reader = rng.randrange(len(likes))
        chosen = rng.sample(range(len(topics)), rng.randint(1, 2))
        z = sum(likes[reader][t] for t in chosen) 
        clicked = rng.random() < logistic(z)
        # Of what was not clicked, one in four was kept.
        if not clicked and rng.random() > 0.25:
            continue
        mood = [0.8 * z, 0.2, -0.8 * z]
        event = {
            "key": i, "ts": 1_780_000_000 + 37 * i,
            "u": f"r{reader}",
            "doc.topics": "|".join(topics[t] for t in chosen),
            "doc.vector": [round(sum(t == k for t in chosen)
                                 + rng.gauss(0, 0.2), 3)
                           for k in range(len(topics))],
            "ctx": {"age_s": round(rng.expovariate(1e-4)), "slot": i % 4},
            "kept": 0.25,
            "y": {"click": int(clicked),
                  "s": round(rng.uniform(5, 40) + 10 * z, 1)
                  if clicked else 0,
                  "mood": rng.choices(["like", "neutral", "hide"],
                                      [math.exp(m) for m in mood])[0]},
            "ranker": {"click": round(z, 4), "read": round(1.5 * z - 2, 4),
                       "mood": [round(m, 3) for m in mood]},
        }
        if i % 17 == 0:
            event["doc.vector"] = None
        if i % 13 == 0:
            del event["y"]["mood"]
        if i % 11 == 0:
            del event["ranker"]
        yield event
        if i == 50:
            yield '{"key": 50, "ts": '


if __name__ == "__main__":
    shop = Shop(random.Random(2))
    write("shop-may", shop.month(datetime(2026, 5, 1, tzinfo=timezone.utc),
                                 600))
    write("shop-june", shop.month(datetime(2026, 6, 1, tzinfo=timezone.utc),
                                  600))
    write("news", news(800))
