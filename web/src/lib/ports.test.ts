import { expect, test } from 'vitest'
import type { Level, Port } from '@/api/types'
import { allPorts, capNote, levelOptions, previewUrl, readListening, readPort } from './ports'

test.each<[Level, string[]]>([
  ['private', ['members', 'public']],
  ['members', ['public']],
  ['public', []],
])('under the cap %s these cannot be chosen: %j', (cap, refused) => {
  const disabled = levelOptions(cap).filter((level) => level.disabled)
  expect(disabled.map(({ value }) => value)).toEqual(refused)
  expect(capNote(cap) === undefined).toBe(refused.length === 0)
})

const shared: Port = { port: 3000, url: 'x', level: 'public', effective: 'public', wakes: true, cors: false }

test.each(['1024', '65535', ' 8000 '])('%j is a port', (text) =>
  expect(readPort(text, [])).toBe(Number(text)),
)

test.each(['', '80', '65536', '-3000', '3e3', '8000.5', 'http', '0x1000'])('%j is none', (text) =>
  expect(readPort(text, [])).toMatch(/1024 to 65535/),
)

test('a port that is there already, or ours, is not added', () => {
  expect(readPort('3000', [shared])).toMatch(/already/)
  expect(readPort('8080', [])).toMatch(/itself/)
  expect(readPort('3001', [])).toMatch(/itself/)
})

test('a preview has the port before the id', () =>
  expect(previewUrl('http://k7m2q4xw9a.ws.kalpana.localhost:8080/', 5173)).toBe(
    'http://5173-k7m2q4xw9a.ws.kalpana.localhost:8080/',
  ))

test('what the server knows of a port counts; the others are private', () => {
  const ports = allPorts('https://a234567890.ws.example.com/', [8000, 3000, 1024, 8000], [shared])
  expect(ports.map(({ port, level }) => [port, level])).toEqual([
    [1024, 'private'],
    [3000, 'public'],
    [8000, 'private'],
  ])
})

test('what listens is read of the bridge, and nothing else is', () => {
  const ports = [
    { port: 5173, address: 'loopback', process: 'MainThread', command: '/usr/bin/node /app/server.js' },
    { port: 8000, address: 'any' },
    { port: 9000, address: 'other', command: 'out of reach' },
    { port: 80, address: 'any', command: 'below what a preview may be' },
    { port: '3000', address: 'any', command: 'a text' },
  ]
  expect(readListening(JSON.stringify({ jsonrpc: '2.0', id: 1, result: { ports } }))).toEqual([
    { port: 5173, command: 'node /app/server.js' },
    { port: 8000, command: '' },
  ])
  const strange = [
    '',
    '{}',
    'null',
    '{"error":{"code":1,"message":"busy"}}',
    '{"result":{"ports":7}}',
    '{"result":{"ports":[null]}}',
  ]
  for (const message of strange) expect(readListening(message)).toBeUndefined()
})
