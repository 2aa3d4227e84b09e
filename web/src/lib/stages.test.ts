import { expect, test } from 'vitest'
import { liveStage, queueText, stageLength, stageTitle, startLength } from './stages'

const now = Date.parse('2025-06-15T12:00:10Z')
const stages = [
  { name: 'container', at: '2025-06-15T12:00:00Z', took: 7.5 },
  { name: 'start', at: '2025-06-15T12:00:07.5Z' },
]

test('a stage that lasts counts on', () => {
  expect(stages.map((stage) => stageLength(stage, now))).toEqual(['7.5 s', '2.5 s'])
  expect(startLength({ at: '2025-06-15T12:00:00Z', stages }, now)).toBe('10 s')
})

test('a start that is over has no stage under way', () => {
  expect(liveStage({ at: '2025-06-15T12:00:00Z', stages })?.name).toBe('start')
  expect(liveStage({ at: '2025-06-15T12:00:00Z', stages: stages.slice(0, 1) })).toBeUndefined()
  expect(liveStage({ at: '2025-06-15T12:00:00Z', stages: [] })).toBeUndefined()
  expect(liveStage(undefined)).toBeUndefined()
})

test('an unknown stage is shown as it is', () => {
  expect(stageTitle('editor')).toBe('Starting VS Code')
  expect(stageTitle('toString')).toBe('toString')
})

test('the place in the queue is told', () => {
  expect(queueText({ place: 1, of: 1 })).toBe('next in the queue')
  expect(queueText({ place: 1, of: 4 })).toBe('next of 4 in the queue')
  expect(queueText({ place: 3, of: 4 })).toBe('number 3 of 4 in the queue')
})
