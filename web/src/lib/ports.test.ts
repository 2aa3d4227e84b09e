import { expect, test } from 'vitest'
import type { Level, Port } from '@/api/types'
import { capNote, levelOptions, readPort } from './ports'

test.each<[Level, string[]]>([
  ['private', ['members', 'public']],
  ['members', ['public']],
  ['public', []],
])('under the cap %s these cannot be chosen: %j', (cap, refused) => {
  const disabled = levelOptions(cap).filter((level) => level.disabled)
  expect(disabled.map(({ value }) => value)).toEqual(refused)
  expect(capNote(cap) === undefined).toBe(refused.length === 0)
})

const known: Port[] = [{ port: 3000, url: '', level: 'private', wakes: false, cors: false }]

test.each(['1024', '65535', ' 8000 '])('%j is a port', (text) =>
  expect(readPort(text, known)).toBe(Number(text)),
)

test.each(['', '80', '65536', '-3000', '3e3', '8000.5', 'http', '0x1000'])('%j is none', (text) =>
  expect(readPort(text, known)).toMatch(/1024 to 65535/),
)

test('a port that is there already is not added again', () =>
  expect(readPort('3000', known)).toMatch(/already/))
