import type { GitQuestion, Workspace } from './types'

export type FeedEvent =
  | { type: 'snapshot'; workspaces: Workspace[] }
  | { type: 'workspace'; workspace: Workspace }
  | { type: 'deleted'; id: string }
  | { type: 'git-questions'; questions: GitQuestion[] }

/** Applies an event to the list, newest workspace first. An event older than what is known is dropped. */
export function reduce(list: Workspace[], event: FeedEvent): Workspace[] {
  switch (event.type) {
    case 'snapshot':
      return [...event.workspaces].sort(newestFirst)
    case 'git-questions':
      return list
    case 'deleted':
      return list.filter((workspace) => workspace.id !== event.id)
    case 'workspace': {
      const next = event.workspace
      const known = list.find((workspace) => workspace.id === next.id)
      if (!known) return [...list, next].sort(newestFirst)
      if (Date.parse(next.updatedAt) < Date.parse(known.updatedAt)) return list
      return list.map((workspace) => (workspace.id === next.id ? next : workspace))
    }
  }
}

const newestFirst = (a: Workspace, b: Workspace) =>
  Date.parse(b.createdAt) - Date.parse(a.createdAt) || a.id.localeCompare(b.id)

/** What a person who does not see the screen should hear about a change. */
export function announce(before: Workspace[], after: Workspace[]): string {
  const news: string[] = []
  for (const now of after) {
    const was = before.find((workspace) => workspace.id === now.id)
    if (was && was.state !== now.state) {
      news.push(changed(now))
    }
  }
  for (const was of before) {
    if (!after.some((workspace) => workspace.id === was.id)) news.push(`${was.name} was deleted`)
  }
  return news.join('. ')
}

function changed({ name, state, reason }: Workspace): string {
  if (state === 'error') return `${name} failed: ${firstLine(reason)}`
  return state === 'deleting' ? `${name} is being deleted` : `${name} is ${state}`
}

/** Of a reason, the first line is for people; the others are the end of a log. */
export function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? ''
}

/** Reads the data of one server-sent event; undefined for what this version does not know. */
export function parseEvent(type: string, data: string): FeedEvent | undefined {
  let value: unknown
  try {
    value = JSON.parse(data)
  } catch {
    return undefined
  }
  if (!isObject(value)) return undefined
  if (type === 'workspace' && isWorkspace(value)) return { type, workspace: value }
  if (type === 'deleted' && typeof value.id === 'string') return { type, id: value.id }
  if (type === 'git-questions' && Array.isArray(value.questions)) {
    return { type, questions: (value.questions as unknown[]).filter(isQuestion) }
  }
  if (type === 'snapshot') {
    const workspaces = value.workspaces ?? []
    if (Array.isArray(workspaces)) return { type, workspaces: (workspaces as unknown[]).filter(isWorkspace) }
  }
  return undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function isQuestion(value: unknown): value is GitQuestion {
  return isObject(value) && typeof value.id === 'string' && typeof value.repository === 'string'
}

function isWorkspace(value: unknown): value is Workspace {
  return isObject(value) && typeof value.id === 'string' && typeof value.state === 'string'
}
