import { expect, test } from 'vitest'
import type { AgentMessage } from '@/api/agent'
import { answerOf, questionOf, stepDetails, stepState, stepTitle, type ToolPart, todosOf } from './steps'

const tool = (name: string, fields: object) =>
  ({ type: `tool-${name}`, toolCallId: 'c', input: {}, ...fields }) as ToolPart
const done = (name: string, input: unknown, output: unknown) =>
  tool(name, { state: 'output-available', input, output })

test('a step says what it does, and then what it did', () => {
  const input = { path: 'src/main.go' }
  expect(stepTitle(tool('readFile', { state: 'input-available', input }), 'running')).toBe(
    'Reading src/main.go',
  )
  expect(stepTitle(done('readFile', input, {}), 'done')).toBe('Read src/main.go')
  expect(stepTitle(tool('editFile', { state: 'approval-requested', input }), 'asking')).toBe(
    'Edit src/main.go',
  )
  expect(
    stepTitle(
      tool('runCommand', { state: 'input-available', input: { command: 'go test ./...\nls' } }),
      'running',
    ),
  ).toBe('go test ./... …')
  expect(stepTitle(tool('runCommand', { state: 'input-streaming', input: undefined }), 'preparing')).toBe(
    'Preparing a command',
  )
  expect(stepTitle(tool('x_y', { state: 'input-available', title: 'Ask the tracker' }), 'running')).toBe(
    'Ask the tracker',
  )
  expect(stepTitle(tool('constructor', { state: 'input-available' }), 'running')).toBe('constructor')
})

test('a step stands where its part says, and a dead one does not run on', () => {
  const running = tool('git', { state: 'input-available' })
  expect(stepState(running, true)).toBe('running')
  expect(stepState(running, false)).toBe('left')
  expect(stepState(done('runCommand', {}, { exitCode: 1 }), false)).toBe('failed')
  expect(stepState(done('runCommand', {}, { exitCode: 0 }), false)).toBe('done')
  expect(
    stepState(tool('git', { state: 'approval-responded', approval: { id: '1', approved: false } }), true),
  ).toBe('denied')
})

test('a command is shown with what it prints, live and in the end', () => {
  const input = { command: 'go test', cwd: 'api' }
  expect(stepDetails(tool('runCommand', { state: 'input-available', input }), 'ok')).toEqual([
    { kind: 'command', text: 'go test' },
    { kind: 'note', text: 'in api' },
    { kind: 'output', text: 'ok' },
  ])
  expect(stepDetails(done('runCommand', input, { output: 'FAIL', exitCode: 1 }), 'ok').slice(2)).toEqual([
    { kind: 'output', text: 'FAIL' },
    { kind: 'note', text: 'ended with status 1' },
  ])
})

test('an edit is shown as a diff, and before as what it would do', () => {
  const input = { path: 'a.go', edits: [{ old: 'a\nb\n', new: 'c' }] }
  expect(
    stepDetails(tool('editFile', { state: 'approval-requested', input, approval: { id: '1' } })),
  ).toEqual([{ kind: 'diff', text: '@@ -1,2 +1,1 @@\n-a\n-b\n+c', rough: true }])
  expect(stepDetails(done('editFile', input, { path: 'a.go', diff: '@@ -1 +1 @@' }))).toEqual([
    { kind: 'diff', path: 'a.go', text: '@@ -1 +1 @@' },
  ])
})

test('what was found is listed', () => {
  const output = { matches: [{ path: 'a.go', line: 3, text: 'func main() {\n' }, 'b.go'] }
  expect(stepDetails(done('searchCode', {}, output))).toEqual([
    { kind: 'output', text: 'a.go:3:func main() {\nb.go' },
  ])
})

test.each([null, 5, [], ['x'], { a: { b: 1 } }, 'text'])(
  'an output of any shape can be shown: %j',
  (output) => {
    expect(() => stepDetails(done('other', output, output))).not.toThrow()
  },
)

test('errors and reasons are shown', () => {
  expect(stepDetails(tool('git', { state: 'output-error', errorText: 'no such branch' }))).toEqual([
    { kind: 'error', text: 'no such branch' },
  ])
  const approval = { id: '1', approved: false, reason: 'not now' }
  expect(stepDetails(tool('git', { state: 'output-denied', approval }))).toEqual([
    { kind: 'note', text: 'You said: not now' },
  ])
})

test('the to-do list is the last one', () => {
  const message = (...parts: ToolPart[]): AgentMessage => ({ id: '1', role: 'assistant', parts })
  const list = (state: string) => done('todo', { items: [{ text: 'Fix it', state }] }, {})
  expect(todosOf([message(list('pending'), list('done')), message()])).toEqual([
    { text: 'Fix it', state: 'done' },
  ])
  expect(
    todosOf([message(done('todo', { todos: [{ content: 'a', status: 'in_progress' }, 7] }, {}))]),
  ).toEqual([{ text: 'a', state: 'doing' }])
  expect(todosOf([])).toEqual([])
})

test('a question has its options, and its answer', () => {
  const input = { question: 'Which one?', options: ['A', { label: 'B', description: 'the other' }, 3] }
  expect(questionOf(tool('ask', { state: 'input-available', input }))).toEqual({
    text: 'Which one?',
    options: [{ label: 'A' }, { label: 'B', note: 'the other' }],
    several: false,
  })
  expect(answerOf(done('ask', input, { answer: 'A' }))).toBe('A')
})

test('what a person allows cannot look like something else', () => {
  const asking = (name: string, input: object) => tool(name, { state: 'approval-requested', input })
  const command = asking('runCommand', {
    command: 'ls \u202etxt.x fr-\u202c m\u200br\u001b[2K\u{e0041} 👩‍💻',
  })
  const spelt = 'ls \\u{202e}txt.x fr-\\u{202c} m\\u{200b}r\\u{1b}[2K\\u{e0041} 👩‍💻'
  expect(stepTitle(command, 'asking')).toBe(`Run ${spelt}`)
  expect(stepDetails(command)).toEqual([{ kind: 'command', text: spelt }])
  const write = asking('writeFile', { path: 'a\u2066.ts', content: 'x\u2067\n\ty\n' })
  expect(stepTitle(write, 'asking')).toBe('Write a\\u{2066}.ts')
  expect(stepDetails(write)).toEqual([
    { kind: 'diff', text: '@@ -1,0 +1,2 @@\n+x\\u{2067}\n+\ty', rough: true },
  ])
  expect(stepDetails(asking('docs_send', { to: '\u202eelpmaxe' }))).toEqual([
    { kind: 'note', text: '{\n  "to": "\\u{202e}elpmaxe"\n}' },
  ])
})
