#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that schemas/*.schema.json agree with their examples.

Every file under schemas/examples/KIND/ok must be valid and every one under
bad must not be. What no schema can say (UTF-8, duplicate keys, nesting and
so on) is checked here by hand, in the same words as in
stages/event/decoder.h; tests/unit/test_event_schemas.c asks the decoder the
same questions. Without the jsonschema module only valid JSON is checked.
"""

import json
import pathlib
import re
import sys

try:
    import jsonschema
except ImportError:
    jsonschema = None

DEPTH_MAX = {"event": 32, "label": 33, "dead_letter": 32, "manifest": 32}
NUMBER_MAX = 63
NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|(-?[0-9][-+.eE0-9]*)')
ROOT = pathlib.Path(__file__).resolve().parents[2] / "schemas"


def unique(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate key")
    return members


def refuse_constant(name):
    raise ValueError(f"{name} is not JSON")


def check_texts(value):
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("NUL in a string")
        value.encode("utf-8")  # lone surrogates cannot be encoded
    elif isinstance(value, list):
        for element in value:
            check_texts(element)
    elif isinstance(value, dict):
        for key, member in value.items():
            check_texts(key)
            check_texts(member)


def depth_of(text):
    """The deepest nesting, without recursion, since bombs are examples."""
    depth = deepest = 0
    for bracket in re.sub(r'"(?:[^"\\]|\\.)*"', "", text):
        depth += (bracket in "[{") - (bracket in "]}")
        deepest = max(deepest, depth)
    return deepest


def read(kind, data):
    text = data.decode("utf-8")
    if depth_of(text) > DEPTH_MAX[kind]:
        raise ValueError("nested too deeply")
    for number in NUMBER.findall(text):
        if len(number) > NUMBER_MAX:
            raise ValueError("number too long")
    value = json.loads(
        text, object_pairs_hook=unique, parse_constant=refuse_constant
    )
    check_texts(value)
    return value


def problem_of(kind, data, validator):
    """What is wrong with an example, or None."""
    try:
        value = read(kind, data)
    except (ValueError, RecursionError) as error:
        return str(error) or "bad JSON"
    if validator is not None:
        for error in validator.iter_errors(value):
            return error.message
    return None


def main():
    passed = failed = 0
    for path in sorted(ROOT.glob("*.schema.json")):
        kind = path.name.split(".")[0]
        schema = json.loads(path.read_text(encoding="utf-8"))
        validator = None
        if jsonschema is not None:
            jsonschema.Draft202012Validator.check_schema(schema)
            validator = jsonschema.Draft202012Validator(schema)
        verdicts = ("ok", "bad") if kind in DEPTH_MAX else ()
        for verdict in verdicts:
            if verdict == "bad" and validator is None:
                continue
            for example in sorted((ROOT / "examples" / kind / verdict).iterdir()):
                problem = problem_of(kind, example.read_bytes(), validator)
                if (problem is None) == (verdict == "ok"):
                    passed += 1
                else:
                    failed += 1
                    print(f"{example}: expected {verdict}: {problem or 'valid'}")
    if jsonschema is None:
        print("without the jsonschema module, only good examples were read")
    print(f"{passed} passed, {failed} failed")
    return failed > 0 or passed == 0


if __name__ == "__main__":
    sys.exit(main())
