import type { AgentMessage, Rule, Waiting } from '@/api/agent'
import { isToolPart, type ToolPart, toolName } from './steps'
import { visible } from './visible'

/** The rules that "always" would add to a chat, as the server offers them; none where it offers none. */
export function grantsOf(part: ToolPart, waiting: Waiting[] | null | undefined): Rule[] {
  return waiting?.find(({ approvalId }) => approvalId && approvalId === part.approval?.id)?.suggest ?? []
}

const things: Record<string, string> = {
  writeFile: 'writing files',
  editFile: 'editing files',
  readFile: 'reading files',
  listFiles: 'listing files',
  searchCode: 'searching',
  glob: 'looking for files',
  git: 'git',
  runCommand: 'every command',
  '*': 'everything',
}

/** Says exactly what rules allow: "commands that begin with “go test”". */
export function grantText(rules: Pick<Rule, 'tool' | 'command' | 'path'>[]): string {
  const commands = rules.flatMap(({ command }) => (command ? [`“${command}”`] : []))
  const others = rules
    .filter(({ command }) => !command)
    .map(({ tool, path }) => {
      const thing = Object.hasOwn(things, tool) ? (things[tool] ?? tool) : tool
      return path ? `${thing} in “${path}”` : thing
    })
  if (commands.length > 0) others.unshift(`commands that begin with ${list(commands)}`)
  return visible(list(others))
}

const list = (items: string[]) =>
  items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`

export type Pending = { approvals: ToolPart[]; questions: ToolPart[] }

const none: Pending = { approvals: [], questions: [] }

/** What the agent waits for: in its last message, which no other follows. */
export function pendingOf(messages: AgentMessage[]): Pending {
  const last = messages.at(-1)
  if (last?.role !== 'assistant') return none
  const parts = last.parts.filter(isToolPart)
  return {
    approvals: parts.filter(({ state }) => state === 'approval-requested'),
    questions: parts.filter((part) => part.state === 'input-available' && toolName(part) === 'ask'),
  }
}

/**
 * Whether everything that the last step of the last message asked has its answer, so that the agent can go on.
 * Steps whose tool ran are none of ours: a run that ended after one must not begin anew by itself.
 */
export function isAnswered(messages: AgentMessage[]): boolean {
  const last = messages.at(-1)
  if (last?.role !== 'assistant') return false
  const start = last.parts.findLastIndex(({ type }) => type === 'step-start')
  const calls = last.parts.slice(start + 1).filter(isToolPart)
  const answered = calls.some(
    (part) =>
      part.state === 'approval-responded' || (part.state === 'output-available' && toolName(part) === 'ask'),
  )
  const settled = ['approval-responded', 'output-available', 'output-error', 'output-denied']
  return answered && calls.every(({ state }) => settled.includes(state))
}
