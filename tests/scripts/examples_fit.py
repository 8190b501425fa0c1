"""Reads an OpenAPI document from standard input and checks every example in it by its schema; fails if one does not fit."""

import json
import sys

import jsonschema_rs

DOCUMENT = json.loads(sys.stdin.read().replace("#/components/schemas/", "#/$defs/"))
SCHEMAS = DOCUMENT["components"]["schemas"]


def examples():
    """Where an example stands, its schema, and the example."""
    for name, schema in SCHEMAS.items():
        own = [schema["example"]] if "example" in schema else []
        for example in own + schema.get("examples", []):
            yield name, schema, example
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            places = [operation.get("requestBody", {}), *operation["responses"].values()]
            for place in [*operation.get("parameters", []), *(part for place in places for part in place.get("content", {}).values())]:
                if "example" in place:
                    yield f"{method} {path}", place["schema"], place["example"]


count, wrong = 0, 0
for where, schema, example in examples():
    count += 1
    validator = jsonschema_rs.Draft202012Validator({**schema, "$defs": SCHEMAS})
    for error in validator.iter_errors(example):
        wrong += 1
        print(f"{where}: {error.message}", file=sys.stderr)
print(f"{count} examples, {wrong} mistakes")
sys.exit(1 if wrong or not count else 0)
