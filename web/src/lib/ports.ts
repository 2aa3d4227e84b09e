import type { Level, Port } from '@/api/types'

const levels: { value: Level; text: string }[] = [
  { value: 'private', text: 'Private: only you' },
  { value: 'members', text: 'Members: who is signed in' },
  { value: 'public', text: 'Public: anybody' },
]

const width = (level: Level) => levels.findIndex(({ value }) => value === level)

/** The share levels, narrowest first; those wider than the operator's cap cannot be chosen. */
export function levelOptions(cap: Level) {
  return levels.map((level) => ({ ...level, disabled: width(level.value) > width(cap) }))
}

/** Why some levels cannot be chosen. */
export function capNote(cap: Level): string | undefined {
  if (cap === 'private') return 'Your operator does not allow ports to be shared.'
  return cap === 'members' ? 'Your operator does not allow public ports.' : undefined
}

/** Reads what was typed as the number of a port; a text says what is wrong with it. */
export function readPort(text: string, known: Port[]): number | string {
  const port = Number(text.trim())
  if (!/^\d+$/.test(text.trim()) || port < 1024 || port > 65535) return 'Give a number from 1024 to 65535.'
  if (known.some((one) => one.port === port)) return `Port ${port} is in the list already.`
  return port
}
