// States, starts and limits of the made-up workspaces.

export const gib = 1024 ** 3
export const limits = { cpus: 2, memory: 4 * gib, pids: 2048, disk: 10 * gib }

const iso = (time) => new Date(time).toISOString()
const minutes = (count) => iso(Date.now() + count * 60_000)

/** What a workspace tells of its sleep, once it is in a state. */
export function sleep(state) {
  if (state === 'running')
    return { awake: { reason: 'started', since: minutes(0), sleepsAt: minutes(10), next: 'paused' } }
  if (state === 'paused')
    return { awake: { reason: 'paused', since: minutes(0), sleepsAt: minutes(60), next: 'stopped' } }
  return { awake: undefined }
}

const parts = [
  {
    name: 'container',
    lasts: 250,
    lines: ['image kalpana/workspace:1', 'volume kalpana-p3vd6trz2h, 2.31 GiB'],
  },
  { name: 'start', lasts: 500 },
  {
    name: 'editor',
    lasts: 750,
    lines: ['code-server 4.104.2', 'HTTP server listening on /run/kalpana/ide.sock'],
  },
]

/** A start that began then, as far as it has come by now. */
export function startStages(begun, from, now = Date.now()) {
  const stages = []
  let at = begun
  for (const { name, lasts, lines } of parts) {
    if (at > now) break
    const over = at + lasts <= now
    stages.push({ name, at: iso(at), ...(over && { took: lasts / 1000 }), ...(lines && { lines }) })
    at += lasts
  }
  return { at: iso(begun), from, stages }
}

/** A start so many minutes ago. */
export function wake(ago, error) {
  const start = startStages(Date.now() - ago * 60_000, 'stopped')
  if (error) start.stages.at(-1).lines = ['code-server: exit status 1']
  return error ? { ...start, error } : start
}
