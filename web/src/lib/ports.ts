import type { Level, Port } from '@/api/types'

const levels: { value: Level; text: string }[] = [
  { value: 'private', text: 'Private: only you' },
  { value: 'members', text: 'Members: anybody signed in' },
  { value: 'public', text: 'Public: anybody' },
]

const width = (level: Level) => levels.findIndex(({ value }) => value === level)

/** The share levels, narrowest first; those wider than the operator's cap cannot be chosen. */
export function levelOptions(cap: Level) {
  return levels.map(({ value, text }) => {
    const disabled = width(value) > width(cap)
    return { value, text: disabled ? `${text} (not allowed)` : text, disabled }
  })
}

/** Why some levels cannot be chosen. */
export function capNote(cap: Level): string | undefined {
  if (cap === 'private') return 'Your operator does not allow ports to be shared.'
  return cap === 'members' ? 'Your operator does not allow public ports.' : undefined
}

// VS Code and the bridge listen there.
const reserved = [8080, 3001]

const isPort = (port: number) => port >= 1024 && port <= 65535

/** Reads what was typed as the number of a port; a text says what is wrong with it. */
export function readPort(text: string, known: Port[]): number | string {
  const port = Number(text.trim())
  if (!/^\d+$/.test(text.trim()) || !isPort(port)) return 'Give a number from 1024 to 65535.'
  if (reserved.includes(port)) return `Kalpana uses port ${port} itself. Let your server listen on another.`
  if (known.some((one) => one.port === port)) return `Port ${port} is in the list already.`
  return port
}

/** A port that a program in the workspace listens on, and how the program was started, which may be unknown. */
export type Listening = { port: number; command: string }

/** A command without the folders of its program. */
const brief = (command: string) => command.replace(/^\S*\//, '').slice(0, 80)

/** Reads the bridge's answer to listPorts. What a container says of itself is believed in nothing but this form. */
export function readListening(message: string): Listening[] | undefined {
  try {
    const ports: unknown = JSON.parse(message)?.result?.ports
    if (!Array.isArray(ports)) return undefined
    return ports
      .filter(({ port, address }) => Number.isInteger(port) && isPort(port) && address !== 'other')
      .map(({ port, command }) => ({ port, command: typeof command === 'string' ? brief(command) : '' }))
  } catch {
    return undefined
  }
}

/** The address of a port's preview: that of its workspace, with the port before the id. */
export function previewUrl(workspaceUrl: string, port: number): string {
  return workspaceUrl.replace('://', `://${port}-`)
}

/** Those of `ports` that the server has no settings of, as it would tell them, and those that it has. */
export function allPorts(workspaceUrl: string, ports: number[], set: Port[]): Port[] {
  const others = [...new Set(ports)].filter((port) => !set.some((one) => one.port === port))
  const plain = others.map((port): Port => {
    const url = previewUrl(workspaceUrl, port)
    return { port, url, level: 'private', effective: 'private', wakes: false, cors: false }
  })
  return [...set, ...plain].sort((a, b) => a.port - b.port)
}

const key = (id: string) => `kalpana.ports.${id}`

/** The ports that were added to a workspace's list in this browser. */
export function recallPorts(id: string): number[] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(key(id)) ?? '[]')
    return Array.isArray(stored) ? stored.filter((port): port is number => Number.isInteger(port)) : []
  } catch {
    return [] // storage may be blocked
  }
}

export function rememberPorts(id: string, ports: number[]): void {
  try {
    if (ports.length > 0) localStorage.setItem(key(id), JSON.stringify(ports))
    else localStorage.removeItem(key(id))
  } catch {
    // See recallPorts.
  }
}
