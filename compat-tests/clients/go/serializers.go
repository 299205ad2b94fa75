package main

import (
	"encoding/json"
	"errors"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/sr"
	"google.golang.org/protobuf/encoding/protowire"
)

type flight struct {
	Delay  int    `json:"delay" avro:"delay"`
	Origin string `json:"origin" avro:"origin"`
}

const (
	avroSchema  = `{"type":"record","name":"Flight","fields":[{"name":"delay","type":"int"},{"name":"origin","type":"string"}]}`
	jsonSchema  = `{"$schema":"http://json-schema.org/draft-07/schema#","title":"Flight","type":"object","properties":{"delay":{"type":"integer"},"origin":{"type":"string"}},"required":["delay","origin"],"additionalProperties":false}`
	protoSchema = "syntax = \"proto3\";\npackage weir.test;\nmessage Flight {\n  int32 delay = 1;\n  string origin = 2;\n}\n"
)

// serde registers the schema and gives what encodes and decodes a flight.
func (p *player) serde(subject, kind string) (*sr.Serde, error) {
	client, err := sr.NewClient(sr.URLs(registry))
	if err != nil {
		return nil, err
	}
	schemas := map[string]sr.Schema{
		"avro":     {Schema: avroSchema, Type: sr.TypeAvro},
		"json":     {Schema: jsonSchema, Type: sr.TypeJSON},
		"protobuf": {Schema: protoSchema, Type: sr.TypeProtobuf},
	}
	created, err := client.CreateSchema(p.ctx, subject, schemas[kind])
	if err != nil {
		return nil, err
	}
	schema, err := avro.Parse(avroSchema)
	if err != nil {
		return nil, err
	}
	options := map[string][]sr.EncodingOpt{
		"avro": {
			sr.EncodeFn(func(v any) ([]byte, error) { return avro.Marshal(schema, v) }),
			sr.DecodeFn(func(b []byte, v any) error { return avro.Unmarshal(schema, b, v) }),
		},
		"json":     {sr.EncodeFn(json.Marshal), sr.DecodeFn(json.Unmarshal)},
		"protobuf": {sr.EncodeFn(encodeProto), sr.DecodeFn(decodeProto), sr.Index(0)},
	}
	serde := sr.NewSerde()
	serde.Register(created.ID, flight{}, options[kind]...)
	return serde, nil
}

func encodeProto(v any) ([]byte, error) {
	f := v.(flight)
	payload := protowire.AppendTag(nil, 1, protowire.VarintType)
	payload = protowire.AppendVarint(payload, uint64(f.Delay))
	payload = protowire.AppendTag(payload, 2, protowire.BytesType)
	return protowire.AppendString(payload, f.Origin), nil
}

func decodeProto(payload []byte, v any) error {
	f := v.(*flight)
	for len(payload) > 0 {
		number, _, size := protowire.ConsumeTag(payload)
		if size < 0 {
			return protowire.ParseError(size)
		}
		payload = payload[size:]
		switch number {
		case 1:
			delay, size := protowire.ConsumeVarint(payload)
			f.Delay, payload = int(delay), payload[size:]
		case 2:
			origin, size := protowire.ConsumeString(payload)
			f.Origin, payload = origin, payload[size:]
		default:
			return errors.New("an unknown field")
		}
	}
	return nil
}
