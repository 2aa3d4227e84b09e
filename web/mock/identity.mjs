// Sign-in, settings and administration of the stand-in server.

const hour = 3_600_000
export const at = (hours) => new Date(Date.now() + hours * hour).toISOString()

const firefox = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'
const iphone =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Mobile Safari/604.1'

const github = { name: 'github', title: 'GitHub', kind: 'github' }
const corp = { name: 'corp', title: 'Example Corp', kind: 'oidc' }
export const link = { name: 'link', title: 'Sign-in link', kind: 'link' }

export function makeIdentity() {
  return {
    role: 'admin',
    methods: [github, corp, link],
    sessions: [
      session('s1', true, 'link', '203.0.113.7', firefox, -3, 0),
      session('s2', false, 'github', '2001:db8:85a3:8d3:1319:8a2e:370:7348', iphone, -50, -2),
      session('s3', false, 'link', '198.51.100.20', 'curl/8.14.1', -100, -30),
    ],
    'git-identity': { name: '', email: '', defaultName: 'Asha Rao', defaultEmail: '' },
    'git-tokens': [
      { server: 'https://git.example.com', username: 'asha', createdAt: at(-300), updatedAt: at(-20) },
    ],
    questions: [],
    answers: [],
    tokens: [
      token('t1', 'nightly backup', ['workspaces:read', 'workspaces:write'], -700, 20, -5),
      token(
        't2',
        'a script that is not run any more, with a long name for it',
        ['workspaces:read'],
        -900,
        -9,
      ),
    ],
    accounts: [
      {
        provider: 'github',
        subject: '583231',
        login: 'asha',
        email: 'asha@example.com',
        createdAt: at(-900),
      },
    ],
    people: [
      person('u1', 'Asha Rao', 'asha@example.com', 'admin', -2000),
      { ...person('u2', 'Ravi Menon', '', 'member', -700), quota: { running: 2, memory: 4 * 1024 ** 3 } },
      person('u3', 'Mira', 'mira.with-a-long-address@department.university.example', 'member', -90, true),
    ],
    invitations: [
      {
        id: 'i1',
        role: 'member',
        note: 'Lena, for the summer',
        by: 'u1',
        createdAt: at(-20),
        expiresAt: at(52),
      },
      { id: 'i2', role: 'admin', note: '', by: 'u9', createdAt: at(-1), expiresAt: at(23) },
    ],
    events: Array.from({ length: 120 }, (_, index) => event(index)),
    cap: 'members',
    ports: { k7m2q4xw9a: { 5173: { level: 'members', cors: true }, 6006: { level: 'public' } } },
  }
}

function session(id, current, provider, address, userAgent, created, seen) {
  return {
    id,
    current,
    provider,
    address,
    userAgent,
    createdAt: at(created),
    seenAt: at(seen),
    endsAt: at(20),
  }
}

function token(id, name, scopes, created, expires, used) {
  return {
    id,
    name,
    scopes,
    createdAt: at(created),
    expiresAt: at(expires),
    ...(used && { usedAt: at(used) }),
  }
}

function person(id, name, email, role, created, disabled = false) {
  return { id, name, email, role, disabled, byRule: !email, quota: {}, createdAt: at(created) }
}

const kinds = [
  { action: 'sign-in', person: 'u1', via: 'session', detail: 'GitHub, as asha' },
  { action: 'start', person: 'u1', via: 'token t1', workspace: 'k7m2q4xw9a', userAgent: 'curl/8.14.1' },
  {
    action: 'sign-in',
    outcome: 'refused',
    person: '',
    via: '',
    detail: 'Example Corp: user\\u202e@evil.example is not among those that may enter',
  },
  {
    action: 'share-change',
    person: 'u2',
    via: 'session',
    workspace: 'p3vd6trz2h',
    detail: '5173: private → members',
  },
  { action: 'admin', person: 'u1', via: 'session', detail: 'disabled Mira' },
  { action: 'grant', person: 'u2', via: 'session', workspace: 'p3vd6trz2h', userAgent: iphone },
]

function event(index) {
  return {
    id: `e${String(9999 - index)}`,
    at: at(-index / 3),
    outcome: 'ok',
    address: '203.0.113.7',
    userAgent: firefox,
    ...kinds[index % kinds.length],
  }
}

const defaults = {
  workspaces: 5,
  running: 3,
  cpus: 2,
  memory: 4 * 1024 ** 3,
  pids: 2048,
  disk: -1,
  agentDayCost: 20,
}

const problem = (status, detail, errors) => [status, { title: 'Refused', status, detail, errors }]

/** Answers what needs nobody signed in; undefined for anything else. */
export function publicApi(state, method, path, body) {
  if (path === '/api/login') return [200, { methods: state.methods }]
  if (path === '/api/login/link') {
    if (body.token !== 'good')
      return problem(
        401,
        'This sign-in link was used already or is too old; ask for another, or run: kalpana sign-in-link.',
      )
    state.signedIn = true
    return [204]
  }
  if (path === '/api/invitations/redeem') {
    if (body.token !== 'good') return problem(404, 'This invitation was used already.')
    state.signedIn = true
    return [204]
  }
  if (method === 'POST' && path.startsWith('/api/login/')) {
    state.started = { provider: path.split('/')[3], ...body }
    return [200, { url: `/provider?next=${encodeURIComponent(body.next ?? '')}` }]
  }
  return undefined
}

const remove = (list, id) => {
  const index = list.findIndex((one) => one.id === id)
  if (index < 0) return problem(404, 'It is not there any more.')
  list.splice(index, 1)
  return [204]
}

/** Answers what the settings and the administration ask; undefined for anything else. */
export function identityApi(state, method, path, body, query, origin) {
  const [, , part, id, verb] = path.split('/')
  if (state.broken && method === 'GET' && part in state)
    return problem(503, 'The store does not answer. The server’s log tells why; try again in a moment.')
  switch (part) {
    case 'sessions':
      if (method === 'GET') return [200, { sessions: state.sessions }]
      if (id) return remove(state.sessions, id)
      state.sessions = state.sessions.filter(({ current }) => current)
      return [204]
    case 'tokens': {
      if (method === 'GET') return [200, { tokens: state.tokens }]
      if (method === 'DELETE') return remove(state.tokens, id)
      const made = token(`t${Date.now()}`, body.name, body.scopes, 0, body.lifetimeHours)
      state.tokens.unshift(made)
      return [201, { ...made, token: 'kal_hHk2mZ9wQ4rT7yB1cX5vN8pL3sD6fG0jA2kE4uI7oW9' }]
    }
    case 'git-identity': {
      if (method === 'GET') return [200, state['git-identity']]
      if (body.email && !body.email.includes('@'))
        return problem(422, 'This is no e-mail address.', [
          { location: 'body.email', message: 'This is no e-mail address.' },
        ])
      Object.assign(state['git-identity'], body)
      return [204]
    }
    case 'git-tokens': {
      if (method === 'GET') return [200, { tokens: state['git-tokens'] }]
      const server = query.get('server') ?? body.server
      state['git-tokens'] = state['git-tokens'].filter((one) => one.server !== server)
      if (method === 'PUT') {
        if (/\/\/.*\//.test(server))
          return problem(422, 'Write the git server’s address alone, such as https://git.example.com.', [
            {
              location: 'body.server',
              message: 'Write the git server’s address alone, such as https://git.example.com.',
            },
          ])
        state['git-tokens'].push({
          server,
          username: body.username ?? '',
          createdAt: at(0),
          updatedAt: at(0),
        })
      }
      return [204]
    }
    case 'git-questions':
      if (method === 'GET') return [200, { questions: state.questions }]
      state.answers.push({ id, ...body })
      return remove(state.questions, id)
    case 'accounts':
      if (method === 'GET') return [200, { accounts: state.accounts }]
      state.accounts = state.accounts.filter(({ subject }) => subject !== verb)
      return [204]
    case 'people': {
      if (state.role !== 'admin') return problem(403, 'This is for admins.')
      if (method === 'GET') return [200, { people: state.people, defaults }]
      const found = state.people.find((one) => one.id === id)
      if (verb === 'sign-in-link')
        return [
          200,
          { url: `${origin}/login/link#Zs8kQ2xW5vB7nM1cL4pJ9hG6fD3sA0rT8yU2iO5eK7w`, expiresAt: at(0.16) },
        ]
      return [200, Object.assign(found, body)]
    }
    case 'invitations': {
      if (method === 'GET') return [200, { invitations: state.invitations }]
      if (method === 'DELETE') return remove(state.invitations, id)
      const made = {
        id: `i${Date.now()}`,
        role: body.role,
        note: body.note ?? '',
        by: 'u1',
        createdAt: at(0),
        expiresAt: at(body.lifetimeHours),
      }
      state.invitations.unshift(made)
      return [201, { ...made, url: `${origin}/invite#Zs8kQ2xW5vB7nM1cL4pJ9hG6fD3sA0rT8yU2iO5eK7w` }]
    }
    case 'audit': {
      const fits = (one) =>
        ['person', 'workspace', 'action'].every(
          (name) => !query.get(name) || one[name] === query.get(name),
        ) &&
        (!query.get('before') || one.id < query.get('before'))
      const found = state.events.filter(fits)
      const events = found.slice(0, Number(query.get('limit')))
      return [200, { events, next: found.length > events.length ? events.at(-1).id : undefined }]
    }
    default:
      return undefined
  }
}

const levels = ['private', 'members', 'public']

/** Answers what the ports of a workspace ask: those with settings of their own. */
export function portsApi(state, method, id, port, body, mockPort) {
  state.ports[id] ??= {}
  const shares = state.ports[id]
  const show = (number) => {
    const share = { level: 'private', wakes: false, cors: false, ...shares[number] }
    const width = Math.min(levels.indexOf(share.level), levels.indexOf(state.cap))
    const url = `http://${number}-${id}.ws.kalpana.localhost:${mockPort}/`
    return { port: Number(number), url, ...share, effective: levels[width] }
  }
  if (method === 'GET') return [200, { ports: Object.keys(shares).map(show), cap: state.cap }]
  delete shares[port]
  if (method === 'DELETE') return [204]
  if (body.level !== 'private' || body.cors) shares[port] = body
  return [200, show(port)]
}
