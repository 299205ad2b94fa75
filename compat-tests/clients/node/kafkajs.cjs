// kafkajs and its registry serializers.
'use strict'

const zlib = require('node:zlib')
const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = require('kafkajs')
const { SchemaRegistry, SchemaType } = require('@kafkajs/confluent-schema-registry')
const SnappyCodec = require('kafkajs-snappy')
const lz4 = require('lz4js')

const { main, until, pause, Refused, NO_INDEXES, SCHEMAS, PARTITIONS, REPLICAS, SETTLE_MS, WEIR_BOOTSTRAP, WEIR_REGISTRY } = require('./scenarios.cjs')

// kafkajs leaves all codecs but gzip to plug-ins.
CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => Buffer.from(lz4.compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from(lz4.decompress(buffer))
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => zlib.zstdCompressSync(encoder.buffer),
  decompress: async (buffer) => zlib.zstdDecompressSync(buffer)
})
const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD
}

process.env.KAFKAJS_NO_PARTITIONER_WARNING = '1'
const kafka = new Kafka({ clientId: 'matrix', brokers: [WEIR_BOOTSTRAP], logLevel: logLevel.NOTHING })
const admin = kafka.admin()
let readers = 0

const seen = (partition, { offset, key, value, headers }) => {
  const texts = Object.entries(headers).map(([name, text]) => [name, text.toString()])
  return { key, value, partition, headers: Object.fromEntries(texts), offset: Number(offset) }
}

// A consumer of a group; commits after each record.
async function join(topic, groupId, { commit = true } = {}) {
  const consumer = kafka.consumer({ groupId, sessionTimeout: 6000, rebalanceTimeout: 6000, heartbeatInterval: 200, maxWaitTimeInMs: 200 })
  const member = { seen: [], owned: [], assigned: () => member.owned }
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    member.owned = payload.memberAssignment[topic] ?? []
  })
  consumer.on(consumer.events.REBALANCING, () => {
    member.owned = []
  })
  let left = null
  member.leave = () => (left ??= consumer.disconnect())
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => {
      member.seen.push(seen(partition, message))
      if (commit) await consumer.commitOffsets([{ topic, partition, offset: String(BigInt(message.offset) + 1n) }])
    }
  })
  return member
}

main({
  name: 'kafkajs',
  version: require('kafkajs/package.json').version,
  saysInvalidRecord: 'This record has failed the validation on broker',
  lacks: { 'serializer-protobuf': NO_INDEXES },
  join,

  async createTopic(topic, config) {
    const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }))
    const created = await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS, replicationFactor: REPLICAS, configEntries }] })
    if (!created) throw new Error('the topic exists')
  },

  async partitionCount(topic) {
    return (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length
  },

  topics: () => admin.listTopics(),
  deleteTopic: (topic) => admin.deleteTopics({ topics: [topic] }),

  async describeConfigs(topic) {
    const { resources } = await admin.describeConfigs({ resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }] })
    return Object.fromEntries(resources[0].configEntries.map(({ configName, configValue }) => [configName, configValue]))
  },

  async offset(topic, partition, at) {
    const watermarks = ['earliest', 'latest'].includes(at)
    const found = watermarks ? await admin.fetchTopicOffsets(topic) : await admin.fetchTopicOffsetsByTimestamp(topic, at)
    const mine = found.find((entry) => entry.partition === partition)
    return Number(at === 'earliest' ? mine.low : mine.offset)
  },

  async produce(topic, records, { codec = 'none', idempotent = false, perRequest = records.length } = {}) {
    const producer = kafka.producer({ idempotent, maxInFlightRequests: idempotent ? 1 : null })
    await producer.connect()
    try {
      for (let from = 0; from < records.length; from += perRequest) {
        await producer.send({ topic, compression: CODECS[codec], messages: records.slice(from, from + perRequest) })
      }
    } catch (error) {
      throw new Refused(error.message)
    } finally {
      await producer.disconnect()
    }
  },

  // It has no consumer outside a group.
  async read(topic, count) {
    const member = await join(topic, `${topic}-reader-${readers++}`, { commit: false })
    try {
      await until(`${count} records`, () => member.seen.length >= count)
      await pause(SETTLE_MS)
    } finally {
      await member.leave()
    }
    return member.seen
  },

  async serializer(topic, kind) {
    const registry = new SchemaRegistry({ host: WEIR_REGISTRY })
    const type = { avro: SchemaType.AVRO, json: SchemaType.JSON, protobuf: SchemaType.PROTOBUF }[kind]
    const { id } = await registry.register({ type, schema: SCHEMAS[kind] }, { subject: `${topic}-value` })
    return {
      send: async (flight) => this.produce(topic, [{ value: await registry.encode(id, flight), partition: 0 }]),
      receive: async (payload) => {
        const { delay, origin } = await new SchemaRegistry({ host: WEIR_REGISTRY }).decode(payload)
        return { delay, origin }
      }
    }
  }
})
