// The scenarios of the matrix, played by franz-go.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

type player struct {
	ctx   context.Context
	admin *kadm.Client
}

type scenario struct {
	name string
	play func(topic string) error
}

func (p *player) scenarios() []scenario {
	codec := func(name string) func(string) error {
		return func(topic string) error { return p.codec(topic, name) }
	}
	serializer := func(kind string) func(string) error {
		return func(topic string) error { return p.serializer(topic, kind) }
	}
	return []scenario{
		{"create-topic", p.createTopicTwice},
		{"produce-none", codec("none")},
		{"produce-gzip", codec("gzip")},
		{"produce-snappy", codec("snappy")},
		{"produce-lz4", codec("lz4")},
		{"produce-zstd", codec("zstd")},
		{"idempotent-produce", p.idempotentProduce},
		{"group-rebalance", p.groupRebalance},
		{"group-resume", p.groupResume},
		{"describe-configs", p.describeConfigs},
		{"list-offsets", p.listOffsets},
		{"delete-topic", p.deleteTopic},
		{"serializer-avro", serializer("avro")},
		{"serializer-json", serializer("json")},
		{"serializer-protobuf", serializer("protobuf")},
		{"refused-record", p.refusedRecord},
		{"table", p.table},
	}
}

func main() {
	report(map[string]string{"client": "franz-go", "version": version()})
	admin, err := newAdmin()
	if err != nil {
		panic(err)
	}
	p := &player{ctx: context.Background(), admin: admin}
	wanted := os.Getenv("WEIR_SCENARIO")
	for _, scenario := range p.scenarios() {
		if wanted != "" && wanted != "all" && wanted != scenario.name {
			continue
		}
		line := map[string]string{"scenario": scenario.name, "result": "passed"}
		if err := scenario.play("franz-go-" + scenario.name); err != nil {
			line["result"], line["detail"] = "failed", err.Error()
		}
		report(line)
	}
}

func report(line map[string]string) {
	text, _ := json.Marshal(line)
	fmt.Println(string(text))
}

func equal(found, wanted any, what string) error {
	if reflect.DeepEqual(found, wanted) {
		return nil
	}
	return fmt.Errorf("%s: %v instead of %v", what, found, wanted)
}

func record(topic string, partition int32, value []byte) *kgo.Record {
	return &kgo.Record{Topic: topic, Partition: partition, Value: value}
}

// spread gives numbered records, partition by partition in turns.
func spread(topic string, first, count int) []*kgo.Record {
	var records []*kgo.Record
	for number := first; number < first+count; number++ {
		r := record(topic, int32(number%partitions), fmt.Appendf(nil, "value-%d-%s", number, strings.Repeat("x", 100)))
		r.Key = fmt.Appendf(nil, "key-%d", number)
		r.Headers = []kgo.RecordHeader{{Key: "from", Value: []byte("scenarios")}}
		records = append(records, r)
	}
	return records
}

// texts gives what is compared of records, in order of offset, then partition.
func texts(records []*kgo.Record) []string {
	slices.SortFunc(records, func(a, b *kgo.Record) int {
		return int(a.Offset-b.Offset)*partitions + int(a.Partition-b.Partition)
	})
	var found []string
	for _, r := range records {
		found = append(found, fmt.Sprintf("%d %d %s %s %s", r.Partition, r.Offset, r.Key, r.Value, r.Headers))
	}
	return found
}

// wantedTexts gives what texts gives of spread records that were the first of their topic.
func wantedTexts(sent []*kgo.Record) []string {
	var wanted []string
	for number, r := range sent {
		wanted = append(wanted, fmt.Sprintf("%d %d %s %s %s", r.Partition, number/partitions, r.Key, r.Value, r.Headers))
	}
	return wanted
}

func (p *player) createTopicTwice(topic string) error {
	if err := p.createTopic(topic, map[string]string{"max.message.bytes": "200000"}); err != nil {
		return err
	}
	topics, err := p.topics()
	if err != nil {
		return err
	}
	if err := equal(topics[topic], partitions, "partitions"); err != nil {
		return err
	}
	if err := p.createTopic(topic, nil); err == nil || !strings.Contains(err.Error(), "TOPIC_ALREADY_EXISTS") {
		return fmt.Errorf("a second time: %v", err)
	}
	return nil
}

func (p *player) codec(topic, name string) error {
	if err := p.createTopic(topic, nil); err != nil {
		return err
	}
	if err := p.produce(spread(topic, 0, 90), kgo.ProducerBatchCompression(codecs[name])); err != nil {
		return err
	}
	seen, err := p.read(topic, 90)
	if err != nil {
		return err
	}
	return equal(texts(seen), wantedTexts(spread(topic, 0, 90)), "records")
}

// idempotentProduce uses franz-go's default, which is idempotent.
func (p *player) idempotentProduce(topic string) error {
	if err := p.createTopic(topic, nil); err != nil {
		return err
	}
	var sent []*kgo.Record
	var wanted []string
	for number := range 400 {
		sent = append(sent, record(topic, 1, fmt.Append(nil, number)))
		wanted = append(wanted, fmt.Sprintf("%d %d", number, number))
	}
	if err := p.produce(sent, kgo.ProducerBatchMaxBytes(2000)); err != nil {
		return err
	}
	seen, err := p.read(topic, len(sent))
	if err != nil {
		return err
	}
	var found []string
	for _, r := range seen {
		found = append(found, fmt.Sprintf("%d %s", r.Offset, r.Value))
	}
	return equal(found, wanted, "records in order")
}

func (p *player) groupRebalance(topic string) error {
	if err := p.createTopic(topic, nil); err != nil {
		return err
	}
	first, err := p.join(topic, topic+"-group")
	if err != nil {
		return err
	}
	defer first.leave()
	members := []*member{first}
	seen := func() (all []*kgo.Record) {
		for _, m := range members {
			all = append(all, m.records()...)
		}
		return all
	}
	next := func(from int) error {
		if err := p.produce(spread(topic, from, 60)); err != nil {
			return err
		}
		return until(fmt.Sprintf("records from %d on", from), func() bool { return len(seen()) >= from+60 })
	}
	if err := next(0); err != nil {
		return err
	}
	second, err := p.join(topic, topic+"-group")
	if err != nil {
		return err
	}
	defer second.leave()
	members = append(members, second)
	err = until("both members to share the partitions", func() bool {
		one, two := first.assigned(), second.assigned()
		return len(one) > 0 && len(two) > 0 && len(one)+len(two) == partitions
	})
	if err != nil {
		return err
	}
	if err := next(60); err != nil {
		return err
	}
	if err := second.leave(); err != nil {
		return err
	}
	err = until("the first member to own all again", func() bool { return len(first.assigned()) == partitions })
	if err != nil {
		return err
	}
	if err := next(120); err != nil {
		return err
	}
	time.Sleep(settle)
	if err := first.leave(); err != nil {
		return err
	}
	if len(second.records()) == 0 {
		return errors.New("the second member read nothing")
	}
	return equal(texts(seen()), wantedTexts(spread(topic, 0, 180)), "read by both")
}

func (p *player) groupResume(topic string) error {
	if err := p.createTopic(topic, nil); err != nil {
		return err
	}
	var all []*kgo.Record
	for _, first := range []int{0, 60, 120} {
		if err := p.produce(spread(topic, first, 60)); err != nil {
			return err
		}
		m, err := p.join(topic, topic+"-group")
		if err != nil {
			return err
		}
		err = until(fmt.Sprintf("records from %d on", first), func() bool { return len(m.records()) >= 60 })
		time.Sleep(settle)
		if err := errors.Join(err, m.leave()); err != nil {
			return err
		}
		all = append(all, m.records()...)
		if err := equal(texts(all), wantedTexts(spread(topic, 0, first+60)), "read from the commits"); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) describeConfigs(topic string) error {
	wanted := map[string]string{"max.message.bytes": "200000", "retention.ms": "86400000"}
	if err := p.createTopic(topic, wanted); err != nil {
		return err
	}
	resources, err := p.admin.DescribeTopicConfigs(p.ctx, topic)
	if err != nil {
		return err
	}
	wanted["cleanup.policy"] = "delete"
	found := map[string]string{}
	for _, config := range resources[0].Configs {
		if _, asked := wanted[config.Key]; asked {
			found[config.Key] = config.MaybeValue()
		}
	}
	return equal(found, wanted, "settings")
}

func (p *player) listOffsets(topic string) error {
	if err := p.createTopic(topic, nil); err != nil {
		return err
	}
	five := func() (records []*kgo.Record) {
		for range 5 {
			records = append(records, record(topic, 2, []byte("value")))
		}
		return records
	}
	if err := p.produce(five()); err != nil {
		return err
	}
	time.Sleep(10 * time.Millisecond)
	between := time.Now().UnixMilli()
	if err := p.produce(five()); err != nil {
		return err
	}
	start, err := p.admin.ListStartOffsets(p.ctx, topic)
	end, err2 := p.admin.ListEndOffsets(p.ctx, topic)
	after, err3 := p.admin.ListOffsetsAfterMilli(p.ctx, between, topic)
	if err := errors.Join(err, err2, err3, start.Error(), end.Error(), after.Error()); err != nil {
		return err
	}
	found := []int64{start[topic][2].Offset, end[topic][2].Offset, end[topic][0].Offset, after[topic][2].Offset}
	return equal(found, []int64{0, 10, 0, 5}, "earliest, latest, latest of an empty partition, by time")
}

func (p *player) deleteTopic(topic string) error {
	if err := p.createTopic(topic, nil); err != nil {
		return err
	}
	if topics, err := p.topics(); err != nil || topics[topic] == 0 {
		return fmt.Errorf("the topic is not listed: %v", err)
	}
	if _, err := p.admin.DeleteTopic(p.ctx, topic); err != nil {
		return err
	}
	return until("the topic to go", func() bool {
		topics, err := p.topics()
		return err == nil && topics[topic] == 0
	})
}

// serializer goes through the client's serde, the topic and back; cut short the record is refused.
func (p *player) serializer(topic, kind string) error {
	if err := p.createTopic(topic, map[string]string{"schema.validation.value": "full"}); err != nil {
		return err
	}
	serde, err := p.serde(topic+"-value", kind)
	if err != nil {
		return err
	}
	wanted := flight{7, "JFK"}
	payload, err := serde.Encode(wanted)
	if err != nil {
		return err
	}
	if err := p.produce([]*kgo.Record{record(topic, 0, payload)}); err != nil {
		return err
	}
	if err := p.refused(topic, payload[:len(payload)-1]); err != nil {
		return err
	}
	seen, err := p.read(topic, 1)
	if err != nil {
		return err
	}
	var found flight
	if err := serde.Decode(seen[0].Value, &found); err != nil {
		return err
	}
	return errors.Join(equal(len(seen), 1, "records"), equal(found, wanted, "decoded"))
}

func (p *player) refused(topic string, payload []byte) error {
	err := p.produce([]*kgo.Record{record(topic, 0, payload)})
	if err == nil || !strings.Contains(err.Error(), "INVALID_RECORD") {
		return fmt.Errorf("the refusal reads: %v", err)
	}
	status, body, err := get("/v1/topics/" + topic + "/rejects")
	if err != nil {
		return err
	}
	rejects, _ := body["rejects"].([]any)
	if status != 200 || len(rejects) != 1 {
		return fmt.Errorf("refusals on record: %d %v", status, body)
	}
	if reason, _ := rejects[0].(map[string]any)["reason"].(string); reason == "" {
		return errors.New("the refusal has no reason")
	}
	return nil
}

func (p *player) refusedRecord(topic string) error {
	if err := p.createTopic(topic, map[string]string{"schema.validation.value": "full"}); err != nil {
		return err
	}
	client, err := sr.NewClient(sr.URLs(registry))
	if err != nil {
		return err
	}
	created, err := client.CreateSchema(p.ctx, topic+"-value", sr.Schema{Schema: jsonSchema, Type: sr.TypeJSON})
	if err != nil {
		return err
	}
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(created.ID))
	good := append(slices.Clone(frame), `{"delay":7,"origin":"JFK"}`...)
	bad := append(slices.Clone(frame), `{"delay":"late","origin":"JFK"}`...)
	if err := p.produce([]*kgo.Record{record(topic, 0, good)}); err != nil {
		return err
	}
	if err := p.refused(topic, bad); err != nil {
		return err
	}
	if err := p.produce([]*kgo.Record{record(topic, 0, good)}); err != nil {
		return err
	}
	seen, err := p.read(topic, 2)
	if err != nil {
		return err
	}
	var found []string
	for _, r := range seen {
		found = append(found, string(r.Value))
	}
	return equal(found, []string{string(good), string(good)}, "what entered")
}

// table shows that keyed records, placed by the default partitioner, are rows that HTTP finds.
func (p *player) table(topic string) error {
	settings := map[string]string{"table.mode": "primary-key", "table.value.format": "string"}
	if err := p.createTopic(topic, settings); err != nil {
		return err
	}
	rows := map[string][]byte{}
	change := func(from, to int, value []byte) error {
		var records []*kgo.Record
		for number := from; number < to; number++ {
			key := fmt.Sprint("key-", number)
			rows[key] = value
			r := record(topic, -1, value)
			r.Key = []byte(key)
			records = append(records, r)
		}
		return p.produce(records)
	}
	err := errors.Join(change(0, 60, []byte("first")), change(0, 20, []byte("changed")), change(20, 30, nil))
	if err != nil {
		return err
	}
	for key, value := range rows {
		status, row, err := get("/v1/tables/" + topic + "/rows/" + key)
		if err != nil {
			return err
		}
		if value == nil {
			err = equal(status, 404, key)
		} else {
			err = equal(row, map[string]any{"key": key, "value": string(value)}, key)
		}
		if err != nil {
			return err
		}
	}
	_, described, err := get("/v1/tables/" + topic)
	return errors.Join(err, equal(described["row_count"], float64(50), "row count"))
}
