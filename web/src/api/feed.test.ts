import { describe, expect, test } from 'vitest'
import { announce, parseEvent, reduce } from './feed'
import type { Workspace } from './types'

const workspace = (id: string, change: Partial<Workspace> = {}): Workspace => ({
  id,
  name: `name-${id}`,
  template: 'blank',
  repository: '',
  state: 'stopped',
  reason: '',
  url: `http://${id}.ws.kalpana.localhost:8080/`,
  createdAt: '2025-06-01T00:00:00Z',
  updatedAt: '2025-06-01T00:00:00Z',
  lastActivity: '',
  limits: { cpus: 2, memory: 0, pids: 0, disk: 0 },
  diskUsed: 0,
  ...change,
})

const a = workspace('a')
const b = workspace('b', { createdAt: '2025-06-02T00:00:00Z' })

describe('reduce', () => {
  test('a snapshot replaces everything, newest first', () => {
    expect(reduce([workspace('z')], { type: 'snapshot', workspaces: [a, b] })).toEqual([b, a])
  })

  test('a change replaces one and keeps the order', () => {
    const running = { ...a, state: 'running' as const, updatedAt: '2025-06-03T00:00:00Z' }
    expect(reduce([b, a], { type: 'workspace', workspace: running })).toEqual([b, running])
  })

  test('a new workspace takes its place', () => {
    expect(reduce([a], { type: 'workspace', workspace: b })).toEqual([b, a])
  })

  test('an answer that was overtaken is dropped', () => {
    const known = { ...a, state: 'running' as const, updatedAt: '2025-06-03T00:00:00.5Z' }
    const late = { ...a, state: 'starting' as const, updatedAt: '2025-06-03T00:00:00.123456Z' }
    expect(reduce([known], { type: 'workspace', workspace: late })).toEqual([known])
  })

  test('a deleted one goes, an unknown one does not matter', () => {
    expect(reduce([b, a], { type: 'deleted', id: 'b' })).toEqual([a])
    expect(reduce([a], { type: 'deleted', id: 'x' })).toEqual([a])
  })
})

test('announce says what changed', () => {
  expect(announce([a, b], [{ ...a, state: 'running' }])).toBe('name-a is running. name-b was deleted')
  expect(announce([a], [{ ...a, state: 'error', reason: 'no image' }])).toBe('name-a failed: no image')
  expect(announce([a], [{ ...a, state: 'error', reason: 'no image\nlog' }])).toBe('name-a failed: no image')
  expect(announce([a], [{ ...a, state: 'deleting' }])).toBe('name-a is being deleted')
  expect(announce([a], [a, b])).toBe('')
})

describe('parseEvent', () => {
  test('reads every kind', () => {
    expect(parseEvent('snapshot', JSON.stringify({ workspaces: [a] }))).toEqual({
      type: 'snapshot',
      workspaces: [a],
    })
    expect(parseEvent('snapshot', '{"workspaces":null}')).toEqual({ type: 'snapshot', workspaces: [] })
    expect(parseEvent('workspace', JSON.stringify(a))).toEqual({ type: 'workspace', workspace: a })
    expect(parseEvent('deleted', '{"id":"a"}')).toEqual({ type: 'deleted', id: 'a' })
    const question = {
      id: 'q',
      workspace: 'a',
      server: 'https://git.example.com',
      repository: 'x/y',
      askedAt: '',
    }
    expect(parseEvent('git-questions', JSON.stringify({ questions: [question, null, 1] }))).toEqual({
      type: 'git-questions',
      questions: [question],
    })
  })

  test.each([
    ['workspace', '{'],
    ['workspace', 'null'],
    ['workspace', '{}'],
    ['deleted', '{"id":1}'],
    ['later', '{}'],
  ])('ignores %s %s', (type, data) => expect(parseEvent(type, data)).toBeUndefined())
})
