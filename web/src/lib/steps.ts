import type { DynamicToolUIPart, ToolUIPart } from 'ai'
import type { AgentMessage } from '@/api/agent'
import { visible } from './visible'

// What the steps of an agent are called and what can be shown of them. Inputs and outputs come from a model and
// from a workspace: nothing is taken for granted of their shapes.

export type ToolPart = ToolUIPart | DynamicToolUIPart
export type MessagePart = AgentMessage['parts'][number]

export const isToolPart = (part: MessagePart): part is ToolPart =>
  part.type === 'dynamic-tool' || part.type.startsWith('tool-')

export const toolName = (part: ToolPart) =>
  part.type === 'dynamic-tool' ? part.toolName : part.type.slice('tool-'.length)

/** Where a step stands. */
export type StepState = 'preparing' | 'running' | 'asking' | 'done' | 'failed' | 'denied' | 'left'

/** `live`: the agent is at work on the message that it belongs to. */
export function stepState(part: ToolPart, live: boolean): StepState {
  switch (part.state) {
    case 'input-streaming':
      return live ? 'preparing' : 'left'
    case 'input-available':
      return live ? 'running' : 'left'
    case 'approval-requested':
      return 'asking'
    case 'approval-responded':
      return part.approval.approved ? (live ? 'running' : 'left') : 'denied'
    case 'output-available':
      return exitCode(part.output) ? 'failed' : part.preliminary && live ? 'running' : 'done'
    case 'output-error':
      return 'failed'
    case 'output-denied':
      return 'denied'
  }
}

type Fields = Record<string, unknown>

const fieldsOf = (value: unknown): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}

/** The first of the fields that is text. */
function textOf(value: unknown, ...names: string[]): string | undefined {
  const fields = fieldsOf(value)
  for (const name of names) {
    const text = fields[name]
    if (typeof text === 'string' && text !== '') return text
  }
  return undefined
}

function exitCode(output: unknown): number | undefined {
  const code = fieldsOf(output).exitCode
  return typeof code === 'number' ? code : undefined
}

const firstLine = (text: string, most = 120) => {
  const line = text.trimStart().split('\n')[0] ?? ''
  return line.length > most || line.length < text.trim().length ? `${line.slice(0, most)} …` : line
}

/** A command as a shell has it: a text, or words. */
export function commandOf(input: unknown): string | undefined {
  const { command, argv } = fieldsOf(input)
  for (const value of [command, argv]) {
    if (typeof value === 'string') return value
    if (Array.isArray(value)) return value.filter((word) => typeof word === 'string').join(' ')
  }
  return undefined
}

const verbs: Record<string, [ask: string, doing: string, done: string, ...of: string[]]> = {
  readFile: ['Read', 'Reading', 'Read', 'path'],
  writeFile: ['Write', 'Writing', 'Wrote', 'path'],
  editFile: ['Edit', 'Editing', 'Edited', 'path'],
  listFiles: ['List', 'Listing', 'Listed', 'path'],
  glob: ['Look for', 'Looking for', 'Looked for', 'pattern'],
  searchCode: ['Search for', 'Searching for', 'Searched for', 'query'],
  commandOutput: ['Read the output of', 'Reading the output of', 'Read the output of', 'id', 'command'],
  stopCommand: ['Stop', 'Stopping', 'Stopped', 'id', 'command'],
  task: ['Work on', 'Working on', 'Worked on', 'title', 'task'],
}

/** What a step does, in a line. `title` is the server's. */
export const stepTitle = (part: ToolPart, state: StepState): string => visible(titleOf(part, state))

function titleOf(part: ToolPart, state: StepState): string {
  const name = toolName(part)
  const { input } = part
  if (name === 'runCommand') {
    const command = commandOf(input)
    if (!command) return 'Preparing a command'
    return state === 'asking' ? `Run ${firstLine(command)}` : firstLine(command)
  }
  const verb = Object.hasOwn(verbs, name) ? verbs[name] : undefined
  if (verb) {
    const [ask, doing, done, ...of] = verb
    const object = textOf(input, ...of)
    const word = { preparing: doing, running: doing, done }[state as string] ?? ask
    return object ? `${word} ${firstLine(object)}` : (part.title ?? `${word} …`)
  }
  if (part.title) return firstLine(part.title)
  if (name === 'git') return `git ${textOf(input, 'operation') ?? ''}`.trim()
  if (name === 'todo') return 'Updated its to-do list'
  return name.replace(/^mcp__?/, '').replaceAll('_', ' ')
}

/** What can be seen of a step beside its title. */
export type Detail =
  | { kind: 'command'; text: string }
  /** `rough`: the lines of it are known, and not where they are in the file. */
  | { kind: 'diff'; path?: string; text: string; rough?: boolean }
  | { kind: 'output'; text: string }
  | { kind: 'note'; text: string }
  | { kind: 'error'; text: string }

const pretty = (value: unknown): string => {
  const text = JSON.stringify(value, null, 2) ?? ''
  return text === '{}' || text === '[]' || text === 'null' ? '' : text
}

/** What there is to see of a step, in order. `live` is what a running command has printed so far. */
export const stepDetails = (part: ToolPart, live = ''): Detail[] =>
  // An output is a terminal's, and cleaned as such where it is shown.
  detailsOf(part, live).map((detail) =>
    detail.kind === 'output' ? detail : { ...detail, text: visible(detail.text) },
  )

function detailsOf(part: ToolPart, live: string): Detail[] {
  const name = toolName(part)
  const details: Detail[] = []
  const add = (kind: 'command' | 'output' | 'note' | 'error', text: string | undefined) => {
    if (text?.trim()) details.push({ kind, text })
  }
  if (name === 'runCommand') {
    add('command', commandOf(part.input))
    const cwd = textOf(part.input, 'cwd')
    add('note', cwd && `in ${cwd}`)
  }

  if (part.state === 'output-available') {
    const output: unknown = part.output
    if (typeof output === 'string') add('output', output)
    else {
      const path = textOf(output, 'path') ?? textOf(part.input, 'path')
      const diff = textOf(output, 'diff', 'patch')
      if (diff) details.push({ kind: 'diff', text: diff, ...(path && { path }) })
      add('output', outputText(output) ?? (live || undefined))
      add('note', noteOf(output))
      if (details.length === 0) add('output', pretty(output))
    }
  } else {
    if (name === 'editFile' || name === 'writeFile') {
      const text = editText(part.input)
      if (text) details.push({ kind: 'diff', text, rough: true })
    } else if (name !== 'runCommand' && part.state !== 'input-streaming') add('note', pretty(part.input))
    add('output', live)
  }
  if (part.state === 'output-error') add('error', part.errorText)
  const reason = 'approval' in part ? part.approval?.reason : undefined
  if (reason && part.approval?.approved === false) add('note', `You said: ${reason}`)
  return details
}

function outputText(output: unknown): string | undefined {
  const text = textOf(output, 'output', 'text', 'content', 'summary')
  if (text !== undefined) return text
  const { stdout, stderr, files, matches, entries, paths } = fieldsOf(output)
  const streams = [stdout, stderr].filter((one) => typeof one === 'string' && one !== '')
  if (streams.length > 0) return streams.join('\n')
  for (const list of [files, matches, entries, paths])
    if (Array.isArray(list) && list.length > 0) return list.map(lineOf).join('\n')
  return undefined
}

/** An entry of a list of files or of places where something was found. */
function lineOf(entry: unknown): string {
  if (typeof entry === 'string') return entry
  const { line, lineNumber } = fieldsOf(entry)
  const path = textOf(entry, 'path', 'name', 'file') ?? ''
  const number = typeof line === 'number' ? line : lineNumber
  const text = textOf(entry, 'text', 'preview') ?? (typeof line === 'string' ? line : undefined)
  return [path, typeof number === 'number' && number, text?.trimEnd()].filter(Boolean).join(':')
}

function noteOf(output: unknown): string | undefined {
  const fields = fieldsOf(output)
  const { line, lines, total, matches } = fields
  const code = exitCode(output)
  const background = textOf(output, 'backgroundId')
  const changed = Array.isArray(fields.changed) ? fields.changed.map(lineOf).filter(Boolean) : []
  const notes = [
    typeof matches === 'number' && (matches === 1 ? '1 found' : `${matches} found`),
    typeof lines === 'number' &&
      (typeof line === 'number' && typeof total === 'number' && lines < total
        ? `lines ${line} to ${line + lines - 1} of ${total}`
        : `${lines} lines`),
    fields.binary === true && 'not text',
    code !== undefined && code !== 0 && `ended with status ${code}`,
    fields.stopped === true && 'took too long and was stopped',
    background && `goes on in the background as ${background}`,
    fields.truncated === true && 'shortened',
    changed.length > 0 && `changed ${changed.join(', ')}`,
    textOf(output, 'noUndo'),
  ]
  return notes.filter(Boolean).join('; ') || undefined
}

/** What is to be written, before it is, as a diff. */
function editText(input: unknown): string | undefined {
  const { edits } = fieldsOf(input)
  const linesOf = (text: string | undefined) => (text ? text.replace(/\n$/, '').split('\n') : [])
  const hunk = (before: string | undefined, after: string | undefined) => {
    const removed = linesOf(before)
    const added = linesOf(after)
    if (removed.length + added.length === 0) return []
    const signed = [...removed.map((line) => `-${line}`), ...added.map((line) => `+${line}`)]
    return [`@@ -1,${removed.length} +1,${added.length} @@\n${signed.join('\n')}`]
  }
  const one = (edit: unknown) => hunk(textOf(edit, 'old'), textOf(edit, 'new'))
  const hunks = Array.isArray(edits)
    ? edits.flatMap(one)
    : [...one(input), ...hunk(undefined, textOf(input, 'content'))]
  return hunks.join('\n') || undefined
}

/** Lines added and removed by a step, if it changed a file. */
export function stepDiff(part: ToolPart): string | undefined {
  return part.state === 'output-available' ? textOf(part.output, 'diff', 'patch') : undefined
}

export type Todo = { text: string; state: 'pending' | 'doing' | 'done' }

const todoStates: Record<string, Todo['state']> = {
  done: 'done',
  completed: 'done',
  doing: 'doing',
  in_progress: 'doing',
  'in-progress': 'doing',
}

/** The to-do list as it stands last in the messages; empty where there is none. */
export function todosOf(messages: AgentMessage[]): Todo[] {
  for (const message of messages.toReversed())
    for (const part of message.parts.toReversed()) {
      if (!isToolPart(part) || toolName(part) !== 'todo') continue
      const list = [fieldsOf('output' in part ? part.output : undefined), fieldsOf(part.input)]
        .flatMap(({ items, todos }) => [items, todos])
        .find(Array.isArray)
      if (!list) continue
      return list.flatMap((item): Todo[] => {
        const text = typeof item === 'string' ? item : textOf(item, 'text', 'title', 'content', 'task')
        const state = textOf(item, 'state', 'status') ?? (fieldsOf(item).done === true ? 'done' : '')
        return text ? [{ text, state: todoStates[state] ?? 'pending' }] : []
      })
    }
  return []
}

export type Question = { text: string; options: { label: string; note?: string }[]; several: boolean }

/** What the agent asks, of the tool `ask`. */
export function questionOf(part: ToolPart): Question {
  const { input } = part
  const { options, several } = fieldsOf(input)
  return {
    text: textOf(input, 'question', 'text') ?? '',
    options: (Array.isArray(options) ? options : []).flatMap((option: unknown) => {
      if (typeof option === 'string') return [{ label: option }]
      const label = textOf(option, 'label', 'text', 'value')
      const note = textOf(option, 'description', 'note')
      return label ? [{ label, ...(note && { note }) }] : []
    }),
    several: several === true,
  }
}

/** What was answered to a question. */
export function answerOf(part: ToolPart): string | undefined {
  if (part.state !== 'output-available') return undefined
  return typeof part.output === 'string' ? part.output : textOf(part.output, 'answer', 'text')
}
