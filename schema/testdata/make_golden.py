"""Writes golden.json: payloads as Confluent's Python serializers write them.

    pip install 'confluent-kafka[avro,json,protobuf]' grpcio-tools
    python make_golden.py > golden.json

Each case has the schema, the framed bytes in hex (with an id prefix, or with a header), and the value
as the codecs are to show it in JSON.
"""

import datetime
import decimal
import json
import math
import sys
import tempfile
from pathlib import Path

from confluent_kafka.schema_registry import SchemaRegistryClient, header_schema_id_serializer
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

UTC = datetime.timezone.utc
CASES = []


def serialize(name, schema_type, schema, make, value, expected, field=MessageField.VALUE):
    for mode in ("prefix", "header"):
        client = SchemaRegistryClient.new_client({"url": "mock://golden"})
        conf = {"subject.name.strategy": lambda ctx, _: f"{ctx.topic}-{ctx.field}"}
        if mode == "header":
            conf["schema.id.serializer"] = header_schema_id_serializer
        headers = []
        context = SerializationContext("golden", field, headers)
        data = make(client, conf)(value, context)
        header = [v for k, v in headers if k == f"__{field}_schema_id"]
        CASES.append({
            "name": f"{name}_{mode}",
            "type": schema_type,
            "schema": schema,
            "bytes": data.hex(),
            "header": header[0].hex() if header else None,
            "json": expected,
        })


AVRO = json.dumps({
    "type": "record", "name": "Everything", "namespace": "com.acme", "fields": [
        {"name": "flag", "type": "boolean"},
        {"name": "small", "type": "int"},
        {"name": "big", "type": "long"},
        {"name": "single", "type": "float"},
        {"name": "precise", "type": "double"},
        {"name": "nan", "type": "double"},
        {"name": "text", "type": "string"},
        {"name": "raw", "type": "bytes"},
        {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
        {"name": "fixed_amount", "type": {"type": "fixed", "name": "Amount", "size": 8,
                                          "logicalType": "decimal", "precision": 12, "scale": 3}},
        {"name": "hash", "type": {"type": "fixed", "name": "Hash", "size": 4}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "clock", "type": {"type": "long", "logicalType": "time-micros"}},
        {"name": "clock_ms", "type": {"type": "int", "logicalType": "time-millis"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "local", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
        {"name": "colour", "type": {"type": "enum", "name": "Colour", "symbols": ["RED", "GREEN"]}},
        {"name": "maybe", "type": ["null", "string"], "default": None},
        {"name": "there", "type": ["null", "long"], "default": None},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "counts", "type": {"type": "map", "values": "int"}},
        {"name": "inner", "type": {"type": "record", "name": "Inner", "fields": [{"name": "x", "type": "int"}]}},
        {"name": "either", "type": ["string", "int", "Inner"]},
    ]})
EVERYTHING = {
    "flag": True, "small": -7, "big": 2**53 + 1, "single": 1.5, "precise": 0.1, "nan": math.nan,
    "text": "Grüße", "raw": b"\x00\xff", "amount": decimal.Decimal("-12.34"),
    "fixed_amount": decimal.Decimal("98765.432"), "hash": b"\x01\x02\x03\x04",
    "day": datetime.date(2013, 1, 1), "clock": datetime.time(12, 34, 56, 789012),
    "clock_ms": datetime.time(1, 2, 3, 4000),
    "at": datetime.datetime(2013, 1, 1, 0, 0, 0, 123000, UTC),
    "local": datetime.datetime(1969, 12, 31, 23, 59, 59, 999999),
    "colour": "GREEN", "maybe": None, "there": -1, "tags": ["a", "", "b"], "counts": {"one": 1, "two": 2},
    "inner": {"x": 300}, "either": {"x": 1},
}
EVERYTHING_JSON = {
    "flag": True, "small": -7, "big": 2**53 + 1, "single": 1.5, "precise": 0.1, "nan": "NaN",
    "text": "Grüße", "raw": "AP8=", "amount": "-12.34", "fixed_amount": "98765.432", "hash": "AQIDBA==",
    "day": "2013-01-01", "clock": "12:34:56.789012", "clock_ms": "01:02:03.004000",
    "at": "2013-01-01T00:00:00.123Z", "local": "1969-12-31T23:59:59.999999", "colour": "GREEN",
    "maybe": None, "there": -1, "tags": ["a", "", "b"], "counts": {"one": 1, "two": 2},
    "inner": {"x": 300}, "either": {"com.acme.Inner": {"x": 1}},
}


def avro(name, schema, value, expected, field=MessageField.VALUE):
    make = lambda client, conf: AvroSerializer(client, schema, conf=conf)
    serialize(name, "AVRO", schema, make, value, expected, field)


avro("avro_everything", AVRO, EVERYTHING, EVERYTHING_JSON)
avro("avro_string_key", '"string"', "user-1", "user-1", MessageField.KEY)
avro("avro_long_key", '{"type": "long"}', -(2**63), -(2**63), MessageField.KEY)

JSON = json.dumps({
    "$schema": "http://json-schema.org/draft-07/schema#", "title": "Order", "type": "object",
    "properties": {
        "id": {"type": "integer"}, "note": {"type": "string"}, "price": {"type": "number"},
        "lines": {"type": "array", "items": {"type": "object", "properties": {"sku": {"type": "string"}}}},
        "at": {"type": "string", "format": "date-time"},
    }, "required": ["id"]})
ORDER = {"id": 2**53 + 1, "note": "Grüße", "price": 0.1, "lines": [{"sku": "a"}], "at": "2013-01-01T01:00:00+01:00"}


def json_schema(name, schema, value, expected, field=MessageField.VALUE):
    make = lambda client, conf: JSONSerializer(schema, client, conf=conf)
    serialize(name, "JSON", schema, make, value, expected, field)


json_schema("json_order", JSON, ORDER, {**ORDER, "at": "2013-01-01T00:00:00.000000Z"})
json_schema("json_key", JSON, {"id": 7, "note": "é"}, {"id": 7, "note": "é", "price": None, "lines": None, "at": None},
            MessageField.KEY)

PROTO = """syntax = "proto3";
package com.acme;

import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";

message First { string name = 1; }

message Order {
  message Line { string sku = 1; int32 count = 2; }
  enum State { UNKNOWN = 0; PAID = 1; }

  int64 id = 1;
  sint32 delta = 2;
  uint64 huge = 3;
  bool flag = 4;
  float single = 5;
  double precise = 6;
  bytes raw = 7;
  repeated int32 packed = 8;
  repeated Line lines = 9;
  map<string, int64> counts = 10;
  map<int32, string> names = 11;
  State state = 12;
  google.protobuf.Timestamp at = 13;
  google.protobuf.StringValue note = 14;
  optional int32 maybe = 15;
  oneof payment { string card = 16; int64 cash = 17; }
  fixed32 unsigned = 18;
  sfixed64 signed = 19;
}
"""


def protobuf():
    from grpc_tools import protoc
    import importlib
    import grpc_tools
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "order.proto").write_text(PROTO)
        include = Path(grpc_tools.__file__).parent / "_proto"
        assert protoc.main(["", f"-I{folder}", f"-I{include}", f"--python_out={folder}", "order.proto"]) == 0
        sys.path.insert(0, folder)
        return importlib.import_module("order_pb2")


order_pb2 = protobuf()
order = order_pb2.Order(
    id=2**53 + 1, delta=-3, huge=2**64 - 1, flag=True, single=0.1, precise=-math.inf, raw=b"\x00\xff",
    packed=[1, -1, 300], lines=[order_pb2.Order.Line(sku="a", count=2), order_pb2.Order.Line()],
    counts={"one": 1}, names={7: "seven"}, state=1, card="visa", unsigned=2**32 - 1, signed=-1)
order.at.FromMilliseconds(1356998400123)
order.note.value = "Grüße"
ORDER_JSON = {
    "id": 2**53 + 1, "delta": -3, "huge": str(2**64 - 1), "flag": True, "single": 0.1, "precise": "-Infinity",
    "raw": "AP8=", "packed": [1, -1, 300], "lines": [{"sku": "a", "count": 2}, {"sku": "", "count": 0}],
    "counts": {"one": 1}, "names": [[7, "seven"]], "state": "PAID", "at": "2013-01-01T00:00:00.123000Z",
    "note": "Grüße", "maybe": None, "card": "visa", "cash": None, "unsigned": 2**32 - 1, "signed": -1,
}


def proto(name, message, expected, field=MessageField.VALUE):
    make = lambda client, conf: ProtobufSerializer(type(message), client, conf={**conf, "use.deprecated.format": False})
    serialize(name, "PROTOBUF", PROTO, make, message, expected, field)


proto("protobuf_first", order_pb2.First(name="x"), {"name": "x"})
proto("protobuf_order", order, ORDER_JSON)
proto("protobuf_nested", order_pb2.Order.Line(sku="s", count=-1), {"sku": "s", "count": -1})

json.dump(CASES, sys.stdout, indent=1, ensure_ascii=False)
print()
