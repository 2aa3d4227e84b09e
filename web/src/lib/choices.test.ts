import { expect, test } from 'vitest'
import type { Models } from '@/api/agent'
import { leftText, modelText, settingsOf } from './choices'

const model = { id: 'a/b', name: 'B', context: 1000, inputPrice: 0.25, outputPrice: 1.5, reasoning: false }
const models: Models = {
  models: [model, { ...model, id: 'a/c' }],
  default: 'a/c',
  mode: 'ask-writes',
  configured: true,
  ownKeys: false,
  ownKey: false,
}
const chat = {
  id: '1',
  title: '',
  state: 'idle',
  createdAt: '',
  updatedAt: '',
  workspace: 'w',
  model: '',
  mode: '',
} as const

test('a model has its name and prices', () => {
  expect(modelText(model)).toBe('B · $0.25 in, $1.5 out')
  expect(modelText({ ...model, name: '', inputPrice: 0, outputPrice: 0 })).toBe('a/b')
})

test('a chat keeps its settings; a new one has those chosen last', () => {
  expect(settingsOf({ ...chat, model: 'a/b', mode: 'ask-all' }, { model: 'a/c' }, models)).toEqual({
    model: 'a/b',
    mode: 'ask-all',
    plan: false,
  })
  expect(settingsOf(undefined, { model: 'a/b', mode: 'ask-none' }, models)).toEqual({
    model: 'a/b',
    mode: 'ask-none',
    plan: false,
  })
})

test('what is not offered any more is not chosen', () => {
  expect(settingsOf(undefined, { model: 'gone', mode: 'x' }, models)).toEqual({
    model: 'a/c',
    mode: 'ask-writes',
    plan: false,
  })
})

test('what is left is told of the bound that comes first', () => {
  const free = { cost: 3, tokens: 10, until: '' }
  expect(leftText({ day: free, month: free })).toBeUndefined()
  expect(leftText({ day: { ...free, limitCost: 5 }, month: { ...free, limitCost: 100 } })).toBe(
    '$2.00 left today',
  )
  expect(
    leftText(
      { day: { ...free, limitCost: 5 }, month: free },
      { day: free, month: { cost: 0, tokens: 999, until: '', limitTokens: 1000 } },
    ),
  ).toBe('1 token left this month')
  expect(leftText({ day: { ...free, limitCost: 2 }, month: free })).toBe('$0.00 left today')
})
