import { expect, test } from 'vitest'
import type { AgentMessage } from '@/api/agent'
import { grantsOf, grantText, isAnswered, pendingOf } from './approvals'
import type { MessagePart, ToolPart } from './steps'

const step: MessagePart = { type: 'step-start' }
const tool = (name: string, fields: object) =>
  ({ type: `tool-${name}`, toolCallId: name, input: {}, ...fields }) as ToolPart
const messages = (...parts: MessagePart[]): AgentMessage[] => [
  { id: 'u', role: 'user', parts: [{ type: 'text', text: 'Fix it' }] },
  { id: 'a', role: 'assistant', parts },
]
const asking = tool('runCommand', { state: 'approval-requested', approval: { id: '1' } })
const allowed = tool('runCommand', { state: 'approval-responded', approval: { id: '1', approved: true } })
const question = tool('ask', { state: 'input-available' })
const answer = tool('ask', { state: 'output-available', output: { answer: 'yes' } })
const ran = tool('readFile', { state: 'output-available', output: {} })

test('what is granted is said exactly', () => {
  const waiting = [
    {
      callId: 'c',
      approvalId: '1',
      suggest: [
        { tool: 'runCommand', command: 'go test', verdict: 'allow' },
        { tool: 'runCommand', command: 'go vet', verdict: 'allow' },
      ],
    },
  ]
  expect(grantText(grantsOf(asking, waiting))).toBe('commands that begin with “go test” and “go vet”')
  expect(grantText([{ tool: 'editFile' }])).toBe('editing files')
  expect(grantText([{ tool: 'writeFile', path: 'docs/**' }, { tool: 'deploy' }])).toBe(
    'writing files in “docs/**” and deploy',
  )
})

test('nothing is offered where the server offers nothing', () => {
  expect(grantsOf(asking, undefined)).toEqual([])
  expect(
    grantsOf(asking, [{ callId: 'c', approvalId: '2', suggest: [{ tool: 'git', verdict: 'allow' }] }]),
  ).toEqual([])
  expect(grantsOf(question, [{ callId: 'ask', suggest: [{ tool: 'git', verdict: 'allow' }] }])).toEqual([])
})

test('only the last message is waited for', () => {
  expect(pendingOf(messages(step, asking, question))).toEqual({ approvals: [asking], questions: [question] })
  const [user] = messages()
  expect(pendingOf([...messages(step, asking), user as AgentMessage])).toEqual({
    approvals: [],
    questions: [],
  })
})

test('the agent goes on once everything is answered', () => {
  expect(isAnswered(messages(step, allowed))).toBe(true)
  expect(isAnswered(messages(step, answer, ran))).toBe(true)
  expect(isAnswered(messages(step, allowed, { ...asking, toolCallId: '2' }))).toBe(false)
  expect(isAnswered(messages(step, allowed, question))).toBe(false)
})

test('a run that ended after a tool does not begin anew', () => {
  expect(isAnswered(messages(step, ran))).toBe(false)
  expect(isAnswered(messages(step, answer, step, ran))).toBe(false)
  expect(isAnswered(messages())).toBe(false)
  expect(isAnswered([])).toBe(false)
})
