// Clients of chats, as browsers have them, that are told by lines on standard input what to do: {n, do, …}, each
// answered by {n, answer}. It ends with its input.

import dns from 'node:dns'
import { createInterface } from 'node:readline'

import { Chat } from '@ai-sdk/react'
import {
  DefaultChatTransport,
  lastAssistantMessageIsCompleteWithApprovalResponses,
  lastAssistantMessageIsCompleteWithToolCalls,
} from 'ai'

// The hosts of a test are on this machine, as in browsers.
const { lookup } = dns
dns.lookup = (host, options, done) => lookup(host.endsWith('.localhost') ? '127.0.0.1' : host, options, done)

const clients = new Map()

/** What a client shows: { status, error, messages, data, finishes }. */
function state(client) {
  const { chat, data, finishes, posts, fault } = client
  if (fault !== undefined) throw new Error(fault)
  return { status: chat.status, error: chat.error?.message ?? '', messages: chat.messages, data, finishes, posts }
}

/** Waits until a client has nothing under way, or shows a text. */
async function until(client, done) {
  while (!done()) {
    await new Promise((resolve) => {
      client.changed = resolve
      setTimeout(resolve, 20)
    })
  }
  return state(client)
}

const does = {
  /** Makes a client. Its requests go to api, or are all answered with the given stream. */
  create({ name, id, messages, api, headers, body, stream }) {
    const client = { data: [], finishes: [], posts: 0, pending: 0 }
    const answer = async (url, init) => {
      if (init.method === 'POST') client.posts++
      return stream === undefined
        ? fetch(url, init)
        : new Response(stream, { headers: { 'content-type': 'text/event-stream' } })
    }
    client.chat = new Chat({
      id,
      messages: messages ?? [],
      transport: new DefaultChatTransport({ api, headers, body, fetch: answer }),
      sendAutomaticallyWhen: (options) =>
        stream === undefined &&
        (lastAssistantMessageIsCompleteWithApprovalResponses(options) ||
          lastAssistantMessageIsCompleteWithToolCalls(options)),
      onData: (part) => client.data.push(part),
      onFinish: ({ isAbort, isDisconnect, isError, finishReason }) =>
        client.finishes.push({ isAbort, isDisconnect, isError, finishReason }),
    })
    clients.set(name, client)
    return {}
  },

  /** Begins something of a Chat's methods, and does not wait for its end. */
  begin({ name, method, args }) {
    const client = clients.get(name)
    client.pending++
    client.chat[method](...(args ?? [])).then(
      () => client.pending--,
      (error) => {
        client.pending--
        client.fault = String(error)
      },
    )
    return {}
  },

  /** Waits until all that was begun has ended, and the client is ready or has an error. */
  settled({ name }) {
    const client = clients.get(name)
    const { chat } = client
    return until(client, () => client.pending === 0 && (chat.status === 'ready' || chat.status === 'error'))
  },

  /** Waits until messages or data show a text. */
  shows({ name, text }) {
    const client = clients.get(name)
    const { chat, data } = client
    return until(client, () => JSON.stringify([chat.messages, data]).includes(text) || (client.pending === 0 && chat.status === 'error'))
  },

  state({ name }) {
    return state(clients.get(name))
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const { n, do: what, ...args } = JSON.parse(line)
  Promise.resolve()
    .then(() => does[what](args))
    .catch((error) => ({ fault: String(error.stack) }))
    .then((answer) => console.log(JSON.stringify({ n, answer })))
}
process.exit(0)
