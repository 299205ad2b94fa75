package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	partitions = 3
	wait       = 20 * time.Second
	settle     = 400 * time.Millisecond
)

var (
	bootstrap = os.Getenv("WEIR_BOOTSTRAP")
	registry  = os.Getenv("WEIR_REGISTRY")
	httpURL   = os.Getenv("WEIR_HTTP")
)

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

// replicas is what each topic is to have of a partition.
func replicas() int16 {
	count, err := strconv.ParseInt(os.Getenv("WEIR_REPLICAS"), 10, 16)
	if err != nil {
		panic(err)
	}
	return int16(count)
}

// version is franz-go's, as go.mod pins it.
func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "github.com/twmb/franz-go" {
			return module.Version[1:]
		}
	}
	return "?"
}

func connect(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(bootstrap)}, options...)...)
}

func newAdmin() (*kadm.Client, error) {
	client, err := connect()
	if err != nil {
		return nil, err
	}
	return kadm.NewClient(client), nil
}

func (p *player) createTopic(topic string, config map[string]string) error {
	values := map[string]*string{}
	for name, value := range config {
		values[name] = &value
	}
	_, err := p.admin.CreateTopic(p.ctx, partitions, replicas(), values, topic)
	return err
}

// topics gives the partition count by topic.
func (p *player) topics() (map[string]int, error) {
	details, err := p.admin.ListTopics(p.ctx)
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for _, detail := range details {
		counts[detail.Topic] = len(detail.Partitions)
	}
	return counts, nil
}

// produce sends all and waits for every ack. A record with a key and partition -1 goes where the default partitioner
// puts it.
func (p *player) produce(records []*kgo.Record, options ...kgo.Opt) error {
	options = append(options, kgo.ProducerLinger(20*time.Millisecond))
	if records[0].Partition >= 0 {
		options = append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	client, err := connect(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.ProduceSync(p.ctx, records...).FirstErr()
}

// read gives everything in the topic, which is at least count records.
func (p *player) read(topic string, count int) ([]*kgo.Record, error) {
	start := map[int32]kgo.Offset{}
	for partition := range int32(partitions) {
		start[partition] = kgo.NewOffset().AtStart()
	}
	client, err := connect(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: start}))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var seen []*kgo.Record
	ctx, cancel := context.WithTimeout(p.ctx, wait)
	defer cancel()
	for len(seen) < count && ctx.Err() == nil {
		seen = append(seen, client.PollFetches(ctx).Records()...)
	}
	ctx, cancel = context.WithTimeout(p.ctx, settle)
	defer cancel()
	for ctx.Err() == nil {
		seen = append(seen, client.PollFetches(ctx).Records()...)
	}
	if len(seen) < count {
		return nil, fmt.Errorf("%d records instead of %d", len(seen), count)
	}
	return seen, nil
}

// member is a consumer of a group in a goroutine of its own; it commits after each poll.
type member struct {
	client *kgo.Client
	ended  chan error
	left   sync.Once
	err    error

	lock  sync.Mutex
	seen  []*kgo.Record
	owned map[int32]bool
}

func (p *player) join(topic, group string) (*member, error) {
	m := &member{ended: make(chan error, 1), owned: map[int32]bool{}}
	change := func(owned bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, changed map[string][]int32) {
			m.lock.Lock()
			defer m.lock.Unlock()
			for _, partition := range changed[topic] {
				m.owned[partition] = owned
			}
		}
	}
	client, err := connect(
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.SessionTimeout(6*time.Second),
		kgo.RebalanceTimeout(6*time.Second),
		kgo.HeartbeatInterval(200*time.Millisecond),
		kgo.FetchMaxWait(200*time.Millisecond),
		kgo.OnPartitionsAssigned(change(true)),
		kgo.OnPartitionsRevoked(change(false)),
		kgo.OnPartitionsLost(change(false)),
	)
	if err != nil {
		return nil, err
	}
	m.client = client
	go m.run(p.ctx)
	return m, nil
}

func (m *member) run(ctx context.Context) {
	for {
		fetches := m.client.PollFetches(ctx)
		if fetches.IsClientClosed() {
			m.ended <- nil
			return
		}
		m.lock.Lock()
		m.seen = append(m.seen, fetches.Records()...)
		m.lock.Unlock()
		if fetches.Empty() {
			continue
		}
		if err := m.client.CommitUncommittedOffsets(ctx); err != nil {
			m.ended <- err
			return
		}
	}
}

func (m *member) leave() error {
	m.left.Do(func() {
		m.client.Close()
		m.err = <-m.ended
	})
	return m.err
}

func (m *member) records() []*kgo.Record {
	m.lock.Lock()
	defer m.lock.Unlock()
	return append([]*kgo.Record(nil), m.seen...)
}

func (m *member) assigned() []int32 {
	m.lock.Lock()
	defer m.lock.Unlock()
	var owned []int32
	for partition, is := range m.owned {
		if is {
			owned = append(owned, partition)
		}
	}
	return owned
}

// get asks the HTTP port and gives status and decoded body.
func get(path string) (int, map[string]any, error) {
	answer, err := http.Get(httpURL + path)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, nil, err
	}
	var body map[string]any
	err = json.Unmarshal(text, &body)
	return answer.StatusCode, body, err
}

// until asks until done answers true.
func until(what string, done func() bool) error {
	for deadline := time.Now().Add(wait); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if done() {
			return nil
		}
	}
	return fmt.Errorf("waited %s in vain for %s", wait, what)
}
