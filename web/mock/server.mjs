// A stand-in for the gateway: the built console, its API with made-up workspaces, and a page in the
// place of VS Code. `npm run mock`, then open the address it prints.

import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { adminUsage, agentApi, makeAgent } from './agent.mjs'
import { identityApi, makeIdentity, portsApi, publicApi } from './identity.mjs'
import { gib, limits, sleep, startStages, wake } from './sleep.mjs'

const dist = fileURLToPath(new URL('../dist/', import.meta.url))
const types = {
  '.css': 'text/css',
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
}
const ago = (minutes) => new Date(Date.now() - minutes * 60_000).toISOString()

const templates = [
  { name: 'blank', title: 'Blank', description: 'Debian with git and ripgrep. A clean start.', ports: [] },
  {
    name: 'node',
    title: 'Node.js',
    description: 'Node 22, npm and pnpm, with the usual editor extensions.',
    ports: [3000, 5173],
  },
  {
    name: 'python',
    title: 'Python',
    description: 'Python 3.12 with uv, pip and a virtual environment.',
    ports: [8000],
  },
]

export function makeState(port) {
  const make = (id, name, template, state, extra = {}) => ({
    id,
    name,
    template,
    state,
    repository: '',
    reason: '',
    url: `http://${id}.ws.kalpana.localhost:${port}/`,
    createdAt: ago(1),
    updatedAt: ago(1),
    stateSince: ago(140),
    lastActivity: '',
    limits,
    diskUsed: 0,
    ...extra,
  })
  return {
    ...makeIdentity(),
    agent: makeAgent(),
    signedIn: false,
    limit: 5,
    down: false,
    streams: new Set(),
    workspaces: [
      make('k7m2q4xw9a', 'quiet-orchard', 'node', 'running', {
        createdAt: ago(2900),
        lastActiveAt: ago(0),
        lastActivity: 'typing',
        repository: 'https://github.com/caddyserver/caddy',
        diskUsed: 8.4 * gib,
        awake: { reason: 'typing', since: ago(3), sleepsAt: ago(-7), next: 'paused' },
        start: wake(140),
      }),
      make('p3vd6trz2h', 'thesis', 'python', 'paused', {
        createdAt: ago(15000),
        lastActiveAt: ago(14),
        lastActivity: 'terminal',
        reason: 'idle for 10 minutes',
        diskUsed: 2.31 * gib,
        stateSince: ago(4),
        awake: { reason: 'idle for 10 minutes', since: ago(4), sleepsAt: ago(-56), next: 'stopped' },
        start: wake(900),
      }),
      make('b5nnx7c4ke', 'a-rather-long-name-for-a-small-experiment-with-parsers', 'blank', 'stopped', {
        createdAt: ago(40000),
        lastActiveAt: ago(4400),
        lastActivity: 'save',
        diskUsed: 0.2 * gib,
        schedule: {
          zone: 'Europe/Vienna',
          wakeAt: '08:30',
          stopAt: '19:00',
          days: ['mon', 'tue', 'wed', 'thu', 'fri'],
        },
      }),
      make('w2jq6m5yta', 'lucid-ridge', 'node', 'error', {
        createdAt: ago(60000),
        reason:
          "The workspace's container ended while it started. Look at the log below, then start it again.\nCloning into '/home/dev/workspace' …\nfatal: repository 'https://github.com/owner/gone' not found\nstart: code-server: exit status 1",
        diskUsed: 10 * gib,
        start: wake(60000, 'The workspace’s container ended while it started.'),
      }),
    ],
  }
}

const vscode = `<!doctype html><meta name="color-scheme" content="dark"><title>VS Code</title><style>
body{margin:0;height:100vh;display:grid;grid-template-columns:48px 220px 1fr;background:#1f1f1f;color:#ccc;font:13px system-ui}
i{background:#181818;border-right:1px solid #2b2b2b}pre{padding:24px;font:13px monospace;color:#9cdcfe}</style>
<i></i><i></i><pre>import { serve } from './server'\n\nserve({ port: 3000 })</pre>`

export function serve(port = 4173) {
  const state = makeState(port)
  const csp = `default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-src 'self' http://*.ws.kalpana.localhost:${port}; frame-ancestors 'none'`

  const send = (name, data) => {
    for (const stream of state.streams) stream.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`)
  }
  state.send = send
  const change = (id, fields) => {
    const workspace = state.workspaces.find((one) => one.id === id)
    if (workspace)
      send('workspace', Object.assign(workspace, fields, { updatedAt: new Date().toISOString() }))
    return workspace
  }
  const stateOf = (id) => state.workspaces.find((one) => one.id === id)?.state
  const enter = (id, to, fields = {}) =>
    change(id, { state: to, reason: '', queue: undefined, stateSince: ago(0), ...sleep(to), ...fields })
  const go = (id, first, then, fields, last = fields) => {
    setTimeout(() => stateOf(id) === first && enter(id, then, last), 1500).unref()
    return enter(id, first, fields)
  }
  /** Starts, stage by stage; after its turn, where there is a queue. */
  const start = (id) => {
    if (state.queue) return change(id, { queue: state.queue })
    const begun = Date.now()
    const from = stateOf(id)
    for (let tenth = 1; tenth < 15; tenth++)
      setTimeout(() => {
        if (stateOf(id) === 'starting') change(id, { start: startStages(begun, from) })
      }, tenth * 100).unref()
    const over = { start: startStages(begun, from, begun + 60_000) }
    return go(id, 'starting', 'running', { start: startStages(begun, from) }, over)
  }
  const verbs = {
    start: (id) => (stateOf(id) === 'paused' ? enter(id, 'running') : start(id)),
    stop: (id) =>
      state.workspaces.find((one) => one.id === id)?.queue
        ? enter(id, 'stopped')
        : go(id, 'stopping', 'stopped', { reason: 'stopped by Asha Rao' }),
    pause: (id) => go(id, 'pausing', 'paused', { reason: 'paused by Asha Rao' }),
    restart: (id) => {
      setTimeout(() => start(id), 800).unref()
      return enter(id, 'stopping', { reason: 'restarted by Asha Rao' })
    },
    rebuild: (id) => start(id),
  }

  const api = async (method, path, body, query) => {
    const problem = (status, detail, errors) => [status, { title: 'Refused', status, detail, errors }]
    const open = publicApi(state, method, path, body)
    if (open) return open
    if (!state.signedIn) return problem(401, 'You are signed out.')
    if (path === '/api/logout') {
      state.signedIn = false
      for (const stream of state.streams) stream.end() // as the gateway does, before it answers
      await new Promise((resolve) => setTimeout(resolve, 300))
      return [204]
    }
    if (path === '/api/me')
      return [
        200,
        { id: 'u1', name: 'Asha Rao', role: state.role, workspaceLimit: state.limit, runningLimit: 3 },
      ]
    const settings = identityApi(state, method, path, body, query, `http://kalpana.localhost:${port}`)
    if (settings) return settings
    if (path === '/api/admin/usage') return adminUsage(query)
    if (path === '/api/admin/workspaces') {
      const owner = (one, index) => ({
        ...one,
        reason: one.reason.split('\n')[0],
        owner: index < 2 ? 'u1' : 'u2',
      })
      const words = query.get('q') ?? ''
      const all = state.workspaces
        .map(owner)
        .filter((one) => [one.owner, null].includes(query.get('owner')) && one.name.includes(words))
      return [200, { workspaces: all, total: all.length }]
    }
    if (path.startsWith('/api/admin/workspaces/')) return [202, verbs.stop(path.split('/')[4])]
    if (path === '/api/templates') return [200, { templates }]
    if (path === '/api/workspaces' && method === 'GET') return [200, { workspaces: state.workspaces }]
    if (path === '/api/workspaces') {
      if (state.workspaces.length >= state.limit)
        return problem(
          403,
          `You have ${state.limit} of ${state.limit} workspaces. Delete one to make room for another.`,
        )
      if (body.repository && !body.repository.startsWith('https://')) {
        return problem(422, 'validation failed', [
          { message: 'Give an address that starts with https://', location: 'body.repository' },
        ])
      }
      const id = `n${Math.random()
        .toString(36)
        .slice(2, 11)
        .replace(/[0189]/g, 'x')}`
      const workspace = {
        id,
        name: body.name,
        template: body.template,
        repository: body.repository ?? '',
        state: 'stopped',
        reason: '',
        lastActivity: '',
        limits,
        diskUsed: 0,
        url: `http://${id}.ws.kalpana.localhost:${port}/`,
        createdAt: new Date().toISOString(),
        updatedAt: new Date().toISOString(),
      }
      state.workspaces.push(workspace)
      send('workspace', workspace)
      return [201, workspace]
    }
    const [, , , id, verb, number] = path.split('/')
    const workspace = state.workspaces.find((one) => one.id === id)
    if (!workspace) return problem(404, 'There is no such workspace.')
    if (verb === 'ports') return portsApi(state, method, id, number, body, port)
    if (state.refuse && verb) return problem(409, state.refuse)
    if (method === 'POST' && verb in verbs) return [202, verbs[verb](id)]
    if (verb === 'keep-awake') {
      const until = method === 'PUT' ? ago(-60 * body.hours) : undefined
      return [
        200,
        change(id, { keepAwakeUntil: until, awake: { ...workspace.awake, sleepsAt: until ?? ago(-10) } }),
      ]
    }
    if (verb === 'schedule') return [200, change(id, { schedule: method === 'PUT' ? body : undefined })]
    if (method === 'PATCH') return [200, change(id, { name: body.name })]
    if (method === 'DELETE') {
      change(id, { state: 'deleting' })
      return new Promise((done) => {
        setTimeout(() => {
          state.workspaces = state.workspaces.filter((one) => one.id !== id)
          send('deleted', { id })
          done([204])
        }, 300)
      })
    }
    return [200, workspace]
  }

  const server = createServer(async (request, response) => {
    const { host = '' } = request.headers
    const { pathname: path, searchParams: query } = new URL(request.url, `http://${host}`)
    if (host.includes('.ws.')) {
      const id = host.split('.')[0]
      if (state.workspaces.find((one) => one.id === id)?.state !== 'running') verbs.start(id)
      response.setHeader('Content-Type', 'text/html')
      return response.end(vscode)
    }
    if (state.down) return request.socket.destroy()
    if (path === '/api/events' && state.signedIn) {
      response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' })
      response.write(`event: snapshot\ndata: ${JSON.stringify({ workspaces: state.workspaces })}\n\n`)
      if (state.questions.length > 0)
        response.write(`event: git-questions\ndata: ${JSON.stringify({ questions: state.questions })}\n\n`)
      state.streams.add(response)
      return request.on('close', () => state.streams.delete(response))
    }
    if (path.startsWith('/api/')) {
      let text = ''
      for await (const chunk of request) text += chunk
      if (request.method !== 'GET' && request.headers['content-type'] !== 'application/json') {
        response.writeHead(415)
        return response.end()
      }
      const body = text ? JSON.parse(text) : {}
      const answered =
        state.signedIn && /^\/api\/agent(\/|$)/.test(path)
          ? agentApi(state, request, response, path, body, query)
          : await api(request.method, path, body, query)
      if (answered === true) return
      const [status, answer] = answered
      response.writeHead(status, {
        'Content-Type': status < 400 ? 'application/json' : 'application/problem+json',
      })
      return response.end(answer && JSON.stringify(answer))
    }
    if (path === '/provider') {
      response.setHeader('Content-Type', 'text/html')
      return response.end('<!doctype html><title>Provider</title>a page of the provider')
    }
    const file = extname(path) ? path : '/index.html'
    try {
      const content = await readFile(join(dist, normalize(file)))
      response.writeHead(path === '/handoff' ? 404 : 200, {
        'Content-Type': types[extname(file)],
        'Content-Security-Policy': csp,
        'Cross-Origin-Opener-Policy': 'same-origin',
      })
      response.end(content)
    } catch {
      response.writeHead(404)
      response.end()
    }
  })
  return new Promise((resolve) => {
    server.listen(port, '127.0.0.1', () =>
      resolve({ state, change, server, origin: `http://kalpana.localhost:${port}` }),
    )
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { origin } = await serve(Number(process.env.PORT ?? 4173))
  console.log(`${origin}/login/link#good`)
}
