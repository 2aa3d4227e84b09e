import { expect, test } from 'vitest'
import type { State } from '@/api/types'
import { nextPane, openPane } from './pane'

const walk = (...states: [State, ...State[]]) => {
  const [first, ...rest] = states
  return rest.reduce(nextPane, openPane(first))
}

test('a stopped workspace wakes when it is opened', () => {
  expect(openPane('stopped').show).toBe('frame')
  expect(walk('stopped', 'starting', 'running')).toMatchObject({ show: 'frame', visit: 0 })
})

test('a workspace that stops while open gives way to the panel', () => {
  expect(walk('running', 'stopping', 'stopped').show).toBe('panel')
  expect(walk('running', 'error').show).toBe('panel')
  expect(walk('running', 'deleting').show).toBe('panel')
  expect(openPane('error').show).toBe('panel')
  expect(openPane('deleting').show).toBe('panel')
})

test('pausing keeps the frame, with its unsaved text', () => {
  expect(walk('running', 'pausing', 'paused', 'running')).toMatchObject({ show: 'frame', visit: 0 })
})

test('one that is paused while it is open says so, over its frame', () => {
  expect(walk('running', 'pausing').asleep).toBe(false)
  expect(walk('running', 'pausing', 'paused')).toMatchObject({ show: 'frame', asleep: true, visit: 0 })
  expect(walk('running', 'pausing', 'paused', 'starting').asleep).toBe(false)
  expect(walk('running', 'paused', 'stopping')).toMatchObject({ show: 'panel', asleep: false })
})

test('opening one that is paused wakes it', () => {
  expect(openPane('paused')).toMatchObject({ show: 'frame', asleep: false })
  expect(walk('paused', 'running')).toMatchObject({ show: 'frame', asleep: false, visit: 0 })
})

test('a restart loads the frame afresh', () => {
  expect(walk('running', 'stopping', 'stopped', 'starting', 'running')).toMatchObject({
    show: 'frame',
    visit: 1,
  })
})
