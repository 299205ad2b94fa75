// The scenarios of the matrix, for the clients of Node.
//
// A client is an object with the methods that the scenarios below call, and `lacks`: by scenario, why the client has
// nothing for it. Prints one JSON line about the client, then one for each scenario.
'use strict'

const assert = require('node:assert/strict')
const { setTimeout: pause } = require('node:timers/promises')

const { WEIR_BOOTSTRAP, WEIR_REGISTRY, WEIR_HTTP, WEIR_REPLICAS, WEIR_SCENARIO = 'all' } = process.env
const REPLICAS = Number(WEIR_REPLICAS)
const PARTITIONS = 3
const WAIT_MS = 20_000
const SETTLE_MS = 400

const FLIGHT = { delay: 7, origin: 'JFK' }
const SCHEMAS = {
  avro: JSON.stringify({
    type: 'record',
    name: 'Flight',
    fields: [
      { name: 'delay', type: 'int' },
      { name: 'origin', type: 'string' }
    ]
  }),
  json: JSON.stringify({
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Flight',
    type: 'object',
    properties: { delay: { type: 'integer' }, origin: { type: 'string' } },
    required: ['delay', 'origin'],
    additionalProperties: false
  }),
  protobuf: 'syntax = "proto3";\npackage weir.test;\nmessage Flight {\n  int32 delay = 1;\n  string origin = 2;\n}\n'
}

// Why the serializers of Node's clients do not play the Protobuf scenario.
const NO_INDEXES = "its Protobuf frames lack the message indexes of the registry's format, so `full` refuses them"

// The broker refused a record; the text is what the client shows.
class Refused extends Error {}

// Asks until `done` answers something true.
async function until(what, done) {
  const deadline = Date.now() + WAIT_MS
  while (Date.now() < deadline) {
    const answer = await done()
    if (answer) return answer
    await pause(20)
  }
  throw new Error(`waited ${WAIT_MS} ms in vain for ${what}`)
}

async function get(path) {
  const answer = await fetch(WEIR_HTTP + path)
  return [answer.status, await answer.json()]
}

async function register(subject, schema, kind) {
  const answer = await fetch(`${WEIR_REGISTRY}/subjects/${subject}/versions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/vnd.schemaregistry.v1+json' },
    body: JSON.stringify({ schema, schemaType: kind })
  })
  const body = await answer.json()
  assert.equal(answer.status, 200, JSON.stringify(body))
  return body.id
}

// Numbered records, partition by partition in turns.
function spread(first, count) {
  return Array.from({ length: count }, (_, n) => ({
    key: Buffer.from(`key-${first + n}`),
    value: Buffer.from(`value-${first + n}-${'x'.repeat(100)}`),
    partition: (first + n) % PARTITIONS,
    headers: { from: 'scenarios' }
  }))
}

const byPlace = (a, b) => a.offset - b.offset || a.partition - b.partition

async function createTopic(client, topic) {
  await client.createTopic(topic, { 'max.message.bytes': '200000' })
  assert.equal(await client.partitionCount(topic), PARTITIONS)
  await assert.rejects(client.createTopic(topic, {}), /exist/i)
}

async function produce(client, topic, codec) {
  await client.createTopic(topic, {})
  const sent = spread(0, 90)
  await client.produce(topic, sent, { codec })
  const seen = (await client.read(topic, sent.length)).sort(byPlace)
  const wanted = sent.map((record, n) => ({ ...record, offset: Math.floor(n / PARTITIONS) }))
  assert.deepEqual(seen, wanted)
}

async function idempotentProduce(client, topic) {
  await client.createTopic(topic, {})
  const sent = Array.from({ length: 400 }, (_, n) => ({ value: Buffer.from(String(n)), partition: 1 }))
  // Several requests, so that there is a sequence.
  await client.produce(topic, sent, { idempotent: true, perRequest: 50 })
  const seen = await client.read(topic, sent.length)
  assert.deepEqual(
    seen.map(({ offset, value }) => `${offset} ${value}`),
    sent.map((_, n) => `${n} ${n}`)
  )
}

const owned = (...members) => members.flatMap((member) => member.assigned()).sort()
const shared = (...members) =>
  members.every((member) => member.assigned().length > 0) && owned(...members).join() === '0,1,2'

async function groupRebalance(client, topic) {
  await client.createTopic(topic, {})
  const group = `${topic}-group`
  const members = []
  const seen = () => members.flatMap((member) => member.seen)
  try {
    members.push(await client.join(topic, group))
    await client.produce(topic, spread(0, 60))
    await until('the first member to read all', () => seen().length >= 60)
    members.push(await client.join(topic, group))
    await until('both members to share the partitions', () => shared(...members))
    // @platformatic/kafka hands out what a fetch from before the rebalance brings of partitions that have moved.
    await pause(SETTLE_MS)
    await client.produce(topic, spread(60, 60))
    await until('both members to read the rest', () => seen().length >= 120)
    await members[1].leave()
    await until('the first member to own all again', () => shared(members[0]))
    await client.produce(topic, spread(120, 60))
    await until('the first member to read on', () => seen().length >= 180)
    await pause(SETTLE_MS)
  } finally {
    for (const member of members) await member.leave()
  }
  assert.ok(members[1].seen.length > 0, 'the second member read nothing')
  const found = seen().sort(byPlace)
  assert.deepEqual(
    found.map(({ partition, offset }) => `${partition} ${offset}`),
    Array.from({ length: 180 }, (_, n) => `${n % PARTITIONS} ${Math.floor(n / PARTITIONS)}`)
  )
}

async function groupResume(client, topic) {
  await client.createTopic(topic, {})
  for (const first of [0, 60, 120]) {
    const sent = spread(first, 60)
    await client.produce(topic, sent)
    const member = await client.join(topic, `${topic}-group`)
    try {
      await until(`records from ${first} on`, () => member.seen.length >= 60)
      await pause(SETTLE_MS)
    } finally {
      await member.leave()
    }
    const found = member.seen.sort(byPlace).map(({ value }) => value.toString())
    assert.deepEqual(found, sent.map(({ value }) => value.toString()))
  }
}

async function describeConfigs(client, topic) {
  await client.createTopic(topic, { 'max.message.bytes': '200000', 'retention.ms': '86400000' })
  const found = await client.describeConfigs(topic)
  const wanted = { 'max.message.bytes': '200000', 'retention.ms': '86400000', 'cleanup.policy': 'delete' }
  assert.deepEqual(Object.fromEntries(Object.keys(wanted).map((name) => [name, found[name]])), wanted)
}

async function listOffsets(client, topic) {
  await client.createTopic(topic, {})
  const five = (text) => Array.from({ length: 5 }, () => ({ value: Buffer.from(text), partition: 2 }))
  await client.produce(topic, five('before'))
  await pause(10)
  const between = Date.now()
  await client.produce(topic, five('after'))
  assert.equal(await client.offset(topic, 2, 'earliest'), 0, 'earliest')
  assert.equal(await client.offset(topic, 2, 'latest'), 10, 'latest')
  assert.equal(await client.offset(topic, 0, 'latest'), 0, 'latest of an empty partition')
  assert.equal(await client.offset(topic, 2, between), 5, 'by time')
}

async function deleteTopic(client, topic) {
  await client.createTopic(topic, {})
  assert.ok((await client.topics()).includes(topic), 'the topic is not listed')
  await client.deleteTopic(topic)
  await until('the topic to go', async () => !(await client.topics()).includes(topic))
}

// Through the client's serializer, the topic and its deserializer; cut short it is refused.
async function serializer(client, topic, kind) {
  await client.createTopic(topic, { 'schema.validation.value': 'full' })
  const { send, receive } = await client.serializer(topic, kind)
  await send(FLIGHT)
  const [{ value }] = await client.read(topic, 1)
  await refused(client, topic, value.subarray(0, -1))
  assert.deepEqual((await receive(value)), FLIGHT)
}

async function refused(client, topic, payload) {
  const error = await client.produce(topic, [{ value: payload, partition: 0 }]).then(
    () => assert.fail('the bad record was acked'),
    (error) => error
  )
  assert.ok(error instanceof Refused && error.message.includes(client.saysInvalidRecord), String(error))
  const [status, { rejects }] = await get(`/v1/topics/${topic}/rejects`)
  assert.deepEqual([status, rejects.length], [200, 1], 'refusals on record')
  assert.ok(rejects[0].reason, 'the refusal has a reason')
}

async function refusedRecord(client, topic) {
  await client.createTopic(topic, { 'schema.validation.value': 'full' })
  const frame = Buffer.alloc(5)
  frame.writeInt32BE(await register(`${topic}-value`, SCHEMAS.json, 'JSON'), 1)
  const framed = (value) => Buffer.concat([frame, Buffer.from(JSON.stringify(value))])
  const good = framed(FLIGHT)
  await client.produce(topic, [{ value: good, partition: 0 }])
  await refused(client, topic, framed({ delay: 'late', origin: 'JFK' }))
  await client.produce(topic, [{ value: good, partition: 0 }])
  assert.deepEqual((await client.read(topic, 2)).map(({ value }) => value), [good, good])
}

// Keyed records, placed by the client's default partitioner, are rows that HTTP finds.
async function table(client, topic) {
  await client.createTopic(topic, { 'table.mode': 'primary-key', 'table.value.format': 'string' })
  const rows = new Map()
  for (const [from, to, value] of [[0, 60, 'first'], [0, 20, 'changed'], [20, 30, null]]) {
    const keys = Array.from({ length: to - from }, (_, n) => `key-${from + n}`)
    const payload = value === null ? null : Buffer.from(value)
    await client.produce(topic, keys.map((key) => ({ key: Buffer.from(key), value: payload })))
    for (const key of keys) rows.set(key, value)
  }
  for (const [key, value] of rows) {
    const [status, row] = await get(`/v1/tables/${topic}/rows/${key}`)
    if (value === null) assert.equal(status, 404, key)
    else assert.deepEqual([status, row], [200, { key, value }], key)
  }
  assert.equal((await get(`/v1/tables/${topic}`))[1].row_count, 50, 'row count')
}

const SCENARIOS = {
  'create-topic': createTopic,
  'produce-none': (client, topic) => produce(client, topic, 'none'),
  'produce-gzip': (client, topic) => produce(client, topic, 'gzip'),
  'produce-snappy': (client, topic) => produce(client, topic, 'snappy'),
  'produce-lz4': (client, topic) => produce(client, topic, 'lz4'),
  'produce-zstd': (client, topic) => produce(client, topic, 'zstd'),
  'idempotent-produce': idempotentProduce,
  'group-rebalance': groupRebalance,
  'group-resume': groupResume,
  'describe-configs': describeConfigs,
  'list-offsets': listOffsets,
  'delete-topic': deleteTopic,
  'serializer-avro': (client, topic) => serializer(client, topic, 'avro'),
  'serializer-json': (client, topic) => serializer(client, topic, 'json'),
  'serializer-protobuf': (client, topic) => serializer(client, topic, 'protobuf'),
  'refused-record': refusedRecord,
  table
}

const report = (line) => process.stdout.write(JSON.stringify(line) + '\n')

async function main(client) {
  report({ client: client.name, version: client.version })
  for (const [scenario, play] of Object.entries(SCENARIOS)) {
    if (WEIR_SCENARIO !== 'all' && WEIR_SCENARIO !== scenario) continue
    if (client.lacks[scenario]) {
      report({ scenario, result: 'not offered', detail: client.lacks[scenario] })
      continue
    }
    try {
      await play(client, `${client.name}-${scenario}`)
      report({ scenario, result: 'passed' })
    } catch (error) {
      console.error(error)
      report({ scenario, result: 'failed', detail: String(error) })
    }
  }
  // Timers and connections of a client must not keep the process.
  process.exit(0)
}

module.exports = { main, until, pause, Refused, NO_INDEXES, SCHEMAS, PARTITIONS, REPLICAS, SETTLE_MS, WEIR_BOOTSTRAP, WEIR_REGISTRY }
