#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/fixtures/cloudevents.json: messages as the CloudEvents SDK
for Python writes them, and what distilld must find in each.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install cloudevents==2.2.0
    /tmp/venv/bin/python tests/support/make_cloudevents.py
"""
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cloudevents.core.bindings.kafka import (from_kafka_event, to_binary_event,
                                             to_structured_event)
from cloudevents.core.v03.event import CloudEvent as OldCloudEvent
from cloudevents.core.v1.event import CloudEvent

OUT = Path(__file__).resolve().parent.parent / "data/fixtures/cloudevents.json"

WHEN = datetime(2026, 11, 23, 15, 59, 58, 120000, tzinfo=timezone.utc)
EAST = timezone(timedelta(hours=5, minutes=30))
CLICK = {"user_id": "u-7", "item_id": "i-31", "event_type": "click",
         "position": 3, "context": {"device": "phone", "tags": ["a", "b"]}}


def attributes(**more):
    return {"id": "01JD", "source": "/web/home",
            "type": "com.example.interaction.v1", "time": WHEN, **more}


def made(name, event, write, problem=None):
    message = write(event)
    vector = {
        "name": name,
        "headers": {k: v.decode() for k, v in message.headers.items()},
        "value": message.value.decode(),
    }
    if problem is not None:
        vector["problem"] = problem
        return vector
    assert from_kafka_event(message).get_data() == event.get_data()
    text = json.dumps(event.get_data())
    assert text in vector["value"]
    when = event.get_attributes().get("time")
    vector["event"] = text
    vector["id"] = event.get_attributes()["id"]
    vector["time_ms"] = round(when.timestamp() * 1000) if when else 0
    return vector


def main():
    plain = CloudEvent(attributes(), CLICK)
    odd = CloudEvent(attributes(
        id='a"\\/\u00e9\U0001f600\n', time=WHEN.astimezone(EAST),
        subject="x", dataschema="https://example.com/s", partitionkey="u-7",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        datacontenttype="application/vnd.shop.v1+json"), CLICK)
    nested = CloudEvent(attributes(), {
        "id": "inner", "data": {"data": [1, {"data": "}"}]},
        "text": 'quote " brace } \u00fc', "specversion": "0.3"})
    text = CloudEvent(attributes(datacontenttype="text/plain"), "a click")
    binary = CloudEvent(
        attributes(datacontenttype="application/octet-stream"), b"\1\2")
    empty = CloudEvent(attributes(), None)
    old = OldCloudEvent(attributes(), CLICK)
    vectors = []
    for mode, write in (("binary", to_binary_event),
                        ("structured", to_structured_event)):
        vectors += [
            made(mode + "/plain", plain, write),
            made(mode + "/odd", odd, write),
            made(mode + "/nested", nested, write),
            made(mode + "/text", text, write,
                 "data is no object" if mode == "structured"
                 else "content-type is 'text/plain', expected JSON"),
            made(mode + "/old", old, write, "specversion is not 1.0"),
        ]
    vectors += [
        made("structured/bytes", binary, to_structured_event,
             "data_base64 is not read"),
        made("structured/empty", empty, to_structured_event,
             "data is missing"),
    ]
    OUT.write_text(json.dumps(vectors, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
