// Uploads by the official tus client through a connection that is cut at random, and compares what is stored, byte for byte.
//
// URL is the server's; SEED chooses other moments.
import { createHash, randomUUID } from 'node:crypto'
import net from 'node:net'
import * as tus from 'tus-js-client'

const server = new URL(process.env.URL)
const seed = Number(process.env.SEED ?? 1)
const SIZES = [1024, 3 * 1024 * 1024, 12 * 1024 * 1024]

// It takes seconds; what hangs fails.
setTimeout(() => {
  console.log('FAILED: not done after two minutes')
  process.exit(1)
}, 120_000).unref()

// Mulberry32: the same moments for the same seed.
let state = seed
function random() {
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

// Between the client and the server: every file is cut so often, each time after some of what the client sends.
const CUTS = 3
let cuts = 0
let mostBytes = 0
let left = Infinity
function nextCut() {
  left = cuts < CUTS ? Math.floor(random() * mostBytes) : Infinity
}
const proxy = net.createServer((client) => {
  const upstream = net.connect(server.port, server.hostname)
  const end = () => {
    client.destroy()
    upstream.destroy()
  }
  client.on('data', (bytes) => {
    if (bytes.length >= left) {
      cuts += 1
      // What was sent so far arrives; then the line is dead.
      upstream.end(bytes.subarray(0, left))
      nextCut()
      client.destroy()
      return
    }
    left -= bytes.length
    if (!upstream.write(bytes)) client.pause()
  })
  upstream.on('drain', () => client.resume())
  upstream.on('data', (bytes) => client.write(bytes))
  for (const socket of [client, upstream]) {
    socket.on('error', end)
    socket.on('close', end)
  }
})
await new Promise((listening) => proxy.listen(0, '127.0.0.1', listening))
const endpoint = `http://127.0.0.1:${proxy.address().port}/v1/uploads`

async function ask(path, init = {}) {
  const answer = await fetch(new URL(path, server), init)
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  return answer
}

const body = JSON.stringify({ county: '350425', code: `login.interop.${randomUUID()}` })
const session = await ask('/v1/sessions/wechat', { method: 'POST', headers: { 'content-type': 'application/json' }, body })
const headers = { Authorization: `Bearer ${(await session.json()).access_token}` }

function document(size) {
  const bytes = Buffer.alloc(size)
  for (let at = 0; at + 4 <= size; at += 4) bytes.writeUInt32LE(Math.floor(random() * 4294967296), at)
  bytes.write('%PDF-1.7\n')
  return bytes
}

function upload(bytes, overridePatchMethod) {
  return new Promise((resolve, reject) => {
    const upload = new tus.Upload(bytes, {
      endpoint,
      headers,
      overridePatchMethod,
      metadata: { filename: '申请表.pdf', filetype: 'application/pdf' },
      retryDelays: Array(40).fill(50),
      onError: reject,
      onSuccess: () => resolve(upload.url),
    })
    upload.start()
  })
}

async function ready(id) {
  for (let tries = 0; tries < 300; tries += 1) {
    const view = await (await ask(`/v1/attachments/${id}`, { headers })).json()
    if (view.state === 'ready') return view
    if (view.state === 'refused') throw new Error(`refused: ${view.refusal}`)
    await new Promise((later) => setTimeout(later, 100))
  }
  throw new Error('it does not become ready')
}

async function check(size, overridePatchMethod) {
  const bytes = document(size)
  cuts = 0
  mostBytes = size / CUTS
  nextCut()
  const id = (await upload(bytes, overridePatchMethod)).split('/').pop()
  const view = await ready(id)
  const link = await (await ask(`/v1/attachments/${id}/link`, { method: 'POST', headers })).json()
  const stored = Buffer.from(await (await ask(link.url)).arrayBuffer())
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  if (!stored.equals(bytes) || view.sha256 !== sha256) throw new Error('what is stored is not what was sent')
  if (cuts !== CUTS) throw new Error(`cut ${cuts} times: this proves nothing`)
  if (view.name !== '申请表.pdf') throw new Error(`its name is ${view.name}`)
}

let passed = 0
let failed = 0
for (const size of SIZES) {
  for (const override of [false, true]) {
    try {
      await check(size, override)
      passed += 1
      console.log(`ok: ${size} bytes by ${override ? 'POST with X-HTTP-Method-Override' : 'PATCH'}, cut ${cuts} times`)
    } catch (error) {
      failed += 1
      console.log(`FAILED: ${size} bytes, override ${override}, seed ${seed}: ${error}`)
    }
  }
}
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
