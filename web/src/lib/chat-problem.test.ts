import { expect, test } from 'vitest'
import { chatProblem } from './chat-problem'

const refused = (statusCode: number, responseBody: string) =>
  chatProblem(Object.assign(new Error(responseBody), { statusCode, responseBody }))

test('a refusal says what the server said', () => {
  const { problem, refused: was } = refused(
    409,
    '{"title":"Conflict","status":409,"detail":"It is at work in another tab."}',
  )
  expect([problem.status, problem.message, was]).toEqual([409, 'It is at work in another tab.', true])
  expect(refused(403, 'The budget is spent.').problem.message).toBe('The budget is spent.')
})

test('the page of a proxy is not shown', () => {
  expect(refused(502, '<html><body>Bad gateway').problem.message).toContain('status 502')
  expect(refused(500, '').problem.message).toContain('status 500')
})

test('a lost connection is told apart from an error of the agent', () => {
  expect(chatProblem(new TypeError('Failed to fetch')).lost).toBe(true)
  const { lost, refused, problem } = chatProblem(new Error('The provider does not answer. Try again.'))
  expect([lost, refused, problem.message]).toEqual([false, false, 'The provider does not answer. Try again.'])
})
