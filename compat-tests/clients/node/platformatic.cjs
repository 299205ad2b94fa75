// @platformatic/kafka and its registry serializers.
'use strict'

const { Admin, ConfigResourceTypes, ConfluentSchemaRegistry, Consumer, Producer, stringDeserializers } = require('@platformatic/kafka')

const lock = require('./package-lock.json')
const { main, until, pause, Refused, NO_INDEXES, SCHEMAS, PARTITIONS, REPLICAS, SETTLE_MS, WEIR_BOOTSTRAP, WEIR_REGISTRY } = require('./scenarios.cjs')

const base = { clientId: 'matrix', bootstrapBrokers: [WEIR_BOOTSTRAP] }
const admin = new Admin(base)
let readers = 0

const seen = ({ key, value, partition, headerEntries, offset }) => {
  const headers = Object.fromEntries(headerEntries.map(([name, text]) => [name.toString(), text.toString()]))
  return { key, value, partition, headers, offset: Number(offset) }
}

// A consumer of a group; commits after each record.
async function join(topic, groupId, { commit = true, ...options } = {}) {
  const consumer = new Consumer({
    ...base,
    groupId,
    autocommit: false,
    sessionTimeout: 6000,
    rebalanceTimeout: 6000,
    heartbeatInterval: 200,
    maxWaitTime: 200,
    ...options
  })
  const stream = await consumer.consume({ topics: [topic], mode: 'committed', fallbackMode: 'earliest' })
  const member = { seen: [], messages: [] }
  const reading = (async () => {
    for await (const message of stream) {
      member.messages.push(message)
      member.seen.push(seen(message))
      if (commit) await message.commit()
    }
  })()
  reading.catch((error) => console.error('reading', error))
  member.assigned = () => (consumer.assignments ?? []).flatMap(({ partitions }) => partitions)
  let left = null
  member.leave = () => (left ??= stream.close().then(() => consumer.close(true)))
  return member
}

// The texts of an error and of those inside it.
const texts = (error) => [error.message, ...(error.errors ?? []).map(texts)].join('; ')

main({
  name: 'platformatic',
  version: lock.packages['node_modules/@platformatic/kafka'].version,
  saysInvalidRecord: 'This record has failed the validation on broker',
  lacks: { 'serializer-protobuf': NO_INDEXES },
  join,

  async createTopic(topic, config) {
    const configs = Object.entries(config).map(([name, value]) => ({ name, value }))
    await admin.createTopics({ topics: [topic], partitions: PARTITIONS, replicas: REPLICAS, configs }).catch((error) => {
      throw new Error(texts(error))
    })
  },

  async partitionCount(topic) {
    return (await admin.metadata({ topics: [topic], forceUpdate: true })).topics.get(topic).partitionsCount
  },

  topics: () => admin.listTopics(),
  deleteTopic: (topic) => admin.deleteTopics({ topics: [topic] }),

  async describeConfigs(topic) {
    const resource = { resourceType: ConfigResourceTypes.TOPIC, resourceName: topic, configurationKeys: null }
    const [{ configs }] = await admin.describeConfigs({ resources: [resource] })
    return Object.fromEntries(configs.map(({ name, value }) => [name, value]))
  },

  async offset(topic, partition, at) {
    const timestamp = { earliest: -2n, latest: -1n }[at] ?? BigInt(at)
    const [{ partitions }] = await admin.listOffsets({ topics: [{ name: topic, partitions: [{ partitionIndex: partition, timestamp }] }] })
    return Number(partitions[0].offset)
  },

  async produce(topic, records, { codec = 'none', idempotent = false, perRequest = records.length } = {}) {
    const producer = new Producer({ ...base, compression: codec, idempotent })
    try {
      for (let from = 0; from < records.length; from += perRequest) {
        const messages = records.slice(from, from + perRequest).map(({ headers, ...record }) => ({
          ...record,
          topic,
          headers: new Map(Object.entries(headers ?? {}).map((entry) => entry.map((text) => Buffer.from(text))))
        }))
        await producer.send({ messages, acks: -1 })
      }
    } catch (error) {
      throw new Refused(texts(error))
    } finally {
      await producer.close()
    }
  },

  // It has no consumer outside a group.
  async read(topic, count, options) {
    const member = await join(topic, `${topic}-reader-${readers++}`, { commit: false, ...options })
    try {
      await until(`${count} records`, () => member.seen.length >= count)
      await pause(SETTLE_MS)
    } finally {
      await member.leave()
    }
    return member.seen
  },

  async serializer(topic, kind) {
    const subject = `${topic}-value`
    const body = JSON.stringify({ schema: SCHEMAS[kind], schemaType: kind.toUpperCase() })
    const answer = await fetch(`${WEIR_REGISTRY}/subjects/${subject}/versions`, { method: 'POST', body })
    const { id } = await answer.json()
    const registry = new ConfluentSchemaRegistry({ url: WEIR_REGISTRY })
    return {
      send: async (flight) => {
        const producer = new Producer({ ...base, registry })
        await producer.send({ messages: [{ topic, value: flight, partition: 0, metadata: { schemas: { value: id } } }], acks: -1 })
        await producer.close()
      },
      receive: async () => {
        const [{ value }] = await this.read(topic, 1, { registry })
        return { ...value }
      }
    }
  }
})
