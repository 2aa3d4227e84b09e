import { expect, test } from 'vitest'
import type { State, Workspace } from '@/api/types'
import { activityText, lastText, showsEffect, sleepText, verbsFor } from './awake'

const now = new Date(2025, 5, 15, 14, 10).getTime()
const at = (minutes: number) => new Date(now + minutes * 60_000).toISOString()

type Sleeper = Pick<Workspace, 'state' | 'awake' | 'keepAwakeUntil' | 'schedule'>
const running = (fields: Partial<Sleeper> = {}): Sleeper => ({
  state: 'running',
  awake: { reason: 'typing', since: at(-3), sleepsAt: at(10), next: 'paused' },
  ...fields,
})

test('a workspace tells when it sleeps, and what used it last', () => {
  expect(sleepText(running(), now)).toBe('Sleeps at 14:20 unless used')
  expect(lastText(running(), now)).toBe('last: typing 3 minutes ago')
})

test('one that is due sleeps in a moment', () =>
  expect(sleepText(running({ awake: { reason: 'save', sleepsAt: at(-1), next: 'paused' } }), now)).toBe(
    'Sleeps in a moment unless used',
  ))

test('stopping is told apart from pausing', () => {
  const awake = { reason: 'typing', sleepsAt: at(60), next: 'stopped' } as const
  expect(sleepText(running({ awake }), now)).toBe('Stops at 15:10 unless used')
  expect(sleepText({ state: 'paused', awake }, now)).toBe('Stops at 15:10 unless used')
  expect(sleepText({ state: 'paused', awake: { reason: '' } }, now)).toBe('Stays paused until it is used')
})

test('a stop by the clock comes, used or not', () => {
  const sleepsAt = '2025-06-15T17:00:00Z'
  const awake = { reason: 'typing', sleepsAt, next: 'stopped' } as const
  const text = (schedule: Workspace['schedule']) => sleepText(running({ awake, schedule }), now)
  expect(text({ stopAt: '19:00', zone: 'Europe/Vienna' })).toMatch(/^Stops at .* by its schedule$/)
  expect(text({ stopAt: '17:00' })).toMatch(/by its schedule$/)
  expect(text({ stopAt: '18:00', zone: 'Europe/Vienna' })).toMatch(/unless used$/)
  expect(text({ stopAt: '19:00', zone: 'Mars/Base' })).toMatch(/unless used$/)
})

test('whoever asked to keep it awake sees until when', () => {
  expect(sleepText(running({ keepAwakeUntil: at(120) }), now)).toBe('Kept awake until 16:10')
  expect(sleepText(running({ keepAwakeUntil: at(5) }), now)).toBe('Sleeps at 14:20 unless used')
  expect(sleepText(running({ keepAwakeUntil: at(-5) }), now)).toBe('Sleeps at 14:20 unless used')
})

test('what was asked for is not told as a use', () => {
  const awake = { reason: 'keep-alive', since: at(0), sleepsAt: at(120), next: 'paused' } as const
  expect(lastText(running({ awake }), now)).toBe('kept awake by kalpana keep-alive')
  expect(lastText(running({ awake, keepAwakeUntil: at(120) }), now)).toBeUndefined()
  expect(sleepText(running({ awake, keepAwakeUntil: at(120) }), now)).toBe('Kept awake until 16:10')
})

test('one that lasts keeps it awake', () => {
  expect(sleepText(running({ awake: { reason: 'agent', since: at(-9) } }), now)).toBe(
    'Kept awake by the agent',
  )
  expect(sleepText(running({ awake: { reason: '' } }), now)).toBe('Does not sleep by itself')
  expect(lastText(running({ awake: { reason: '' } }), now)).toBeUndefined()
  expect(lastText(running({ state: 'paused' }), now)).toBeUndefined()
})

test('what is not awake has nothing to tell', () => {
  expect(sleepText({ state: 'stopped' }, now)).toBeUndefined()
  expect(sleepText(running({ state: 'pausing' }), now)).toBeUndefined()
})

test('an unknown activity is shown as it is', () => {
  expect(activityText('build')).toBe('build')
  expect(activityText('constructor')).toBe('constructor')
})

test('anything but what ends by itself can be stopped', () => {
  const stoppable: State[] = ['running', 'paused', 'starting', 'pausing', 'error']
  for (const state of stoppable) expect(verbsFor({ state })).toContain('stop')
  expect(verbsFor({ state: 'stopped', queue: { place: 1, of: 1 } })).toEqual(['stop'])
  expect(verbsFor({ state: 'deleting' })).toEqual([])
  expect(verbsFor({ state: 'error' })).toContain('rebuild')
})

test('a failure is not told where the state shows that it worked', () => {
  expect(showsEffect('pause', 'paused')).toBe(true)
  expect(showsEffect('pause', 'running')).toBe(false)
  expect(showsEffect('start', 'error')).toBe(false)
  expect(showsEffect('restart', 'running')).toBe(false)
})
