import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import type { UIMessage } from 'ai'
import { toProblem, unreachable } from './problem'

// The agent in a workspace: its chats, its models, what it costs. The chat itself is a stream, which useChat of
// the AI SDK reads.

export type ChatState = 'idle' | 'running' | 'waiting' | 'interrupted'

/** What is asked for before the agent does it: everything, what changes something, nothing. */
export type Mode = 'ask-all' | 'ask-writes' | 'ask-none'

export type Chat = {
  id: string
  title: string
  state: ChatState
  mode?: Mode
  model?: string
  plan?: boolean
  queued?: Queued[]
  waiting?: Waiting[]
  createdAt: string
  updatedAt: string
}

/** What a person may allow from then on. */
export type Rule = { tool: string; command?: string; path?: string }

/** A call that waits for the person; `suggest`: what "always" would allow. */
export type Waiting = { callId: string; approvalId?: string; suggest?: Rule[] }

export type Queued = { id: string; text: string }

export type TokenUse = { input: number; output: number; cached?: number; reasoning?: number }

/** `cost` is in US dollars. */
export type Metadata = {
  model?: string
  usage?: TokenUse
  cost?: number
  startedAt?: string
  durationMs?: number
}

/** What the stream carries beside the message; none of it is kept. */
export type DataParts = {
  terminal: { callId: string; text: string }
  status: { text: string }
  /** `next`: what was queued begins a turn of its own, after this one. */
  queue: { queued?: Queued[]; next?: boolean }
}

export type AgentMessage = UIMessage<Metadata, DataParts>

/** Prices are in US dollars for a million tokens; 0 where they are not known. */
export type Model = {
  id: string
  name: string
  context: number
  inputPrice: number
  outputPrice: number
  reasoning: boolean
}

/** `configured`: the installation has a key of its own. */
export type Models = {
  models: Model[]
  default: string
  mode?: Mode
  configured: boolean
  ownKeys: boolean
  ownKey: boolean
  /** The last four characters of the own key. */
  ownKeyEnd?: string
}

/** `notKept`: what it was before is not known, so it cannot be undone. */
export type ChangedFile = {
  path: string
  status: string
  diff?: string
  binary?: boolean
  notKept?: boolean
  undone?: boolean
}
export type Turn = { messageId: string; files: ChangedFile[] }

/** Costs in US dollars. A limit that is 0 or absent is none. */
export type Span = { cost: number; tokens: number; limitCost?: number; limitTokens?: number }
export type Spans = { day: Span; month: Span }
export type ModelUse = { model: string; cost: number; tokens: number }
export type Usage = { person: Spans; workspace?: Spans; models?: ModelUse[] }

const call = <T>(path: string, method = 'GET', body?: unknown) =>
  request<T>(`/api/agent${path}`, method, body)

async function request<T>(address: string, method = 'GET', body?: unknown): Promise<T> {
  const response = await fetch(address, {
    method,
    credentials: 'same-origin',
    ...(method !== 'GET' && { headers: { 'Content-Type': 'application/json' } }),
    ...(body !== undefined && { body: JSON.stringify(body) }),
  }).catch(() => {
    throw unreachable()
  })
  const text = await response.text()
  let answer: unknown
  try {
    answer = text ? JSON.parse(text) : undefined
  } catch {
    answer = undefined
  }
  if (!response.ok) throw toProblem(response.status, answer)
  return answer as T
}

const at = (chat: string, rest = '') => `/${encodeURIComponent(chat)}${rest}`

export const modelsQuery = queryOptions({
  queryKey: ['agent', 'models'],
  queryFn: () => call<Models>('/models'),
  staleTime: 5 * 60_000,
})

/** The chats of a workspace, what was used last first. */
export const chatsQuery = (workspace: string) =>
  queryOptions({
    queryKey: ['agent', 'chats', workspace],
    queryFn: async () =>
      (await call<{ chats?: Chat[] }>(`/chats?workspace=${encodeURIComponent(workspace)}`)).chats ?? [],
  })

export const chatQuery = (chat: string) =>
  queryOptions({
    queryKey: ['agent', 'chat', chat],
    queryFn: () => call<{ chat: Chat; messages?: AgentMessage[] }>(at(chat)),
    // It is what a conversation starts from; from there on the stream tells.
    gcTime: 0,
    staleTime: Number.POSITIVE_INFINITY,
    refetchOnWindowFocus: false,
  })

export const changesQuery = (chat: string) =>
  queryOptions({
    queryKey: ['agent', 'changes', chat],
    queryFn: async () => (await call<{ turns?: Turn[] }>(at(chat, '/changes'))).turns ?? [],
  })

export const usageQuery = (workspace?: string) =>
  queryOptions({
    queryKey: ['agent', 'usage', workspace],
    queryFn: () => call<Usage>(`/usage${workspace ? `?workspace=${encodeURIComponent(workspace)}` : ''}`),
  })

export type UsageBy = 'person' | 'workspace' | 'model'

/** What agents used since a day; `key` is the id of a person or workspace, or a model. */
export type UsageRow = { key: string; name?: string; cost: number; tokens: number; calls?: number }

export const adminUsageQuery = (by: UsageBy, since: string) =>
  queryOptions({
    queryKey: ['agent', 'admin-usage', by, since],
    queryFn: async () =>
      (await request<{ rows?: UsageRow[] }>(`/api/admin/usage?by=${by}&since=${since}`)).rows ?? [],
  })

export function useRenameChat(workspace: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: ({ chat, title }: { chat: string; title: string }) => call(at(chat), 'PATCH', { title }),
    onSettled: () => client.invalidateQueries({ queryKey: chatsQuery(workspace).queryKey }),
  })
}

export function useDeleteChat(workspace: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (chat: string) => call(at(chat), 'DELETE'),
    onSettled: () => client.invalidateQueries({ queryKey: chatsQuery(workspace).queryKey }),
  })
}

export const useStopRun = (chat: string) =>
  useMutation({ mutationFn: (_: undefined) => call(at(chat, '/stop'), 'POST', {}) })

/** Says something to an agent that is at work: it reads it between two steps. */
export const useQueueMessage = (chat: string) =>
  useMutation({ mutationFn: (text: string) => call<{ id: string }>(at(chat, '/queue'), 'POST', { text }) })

export type Undo = { messageId: string; path?: string }

/** What became of a file; `reason` says why it was not undone, where it was not. */
export type UndoneFile = {
  path: string
  result: 'restored' | 'merged' | 'unchanged' | 'conflict' | 'failed'
  reason?: string
}

export function useUndo(chat: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: async (undo: Undo) =>
      (await call<{ files?: UndoneFile[] }>(at(chat, '/undo'), 'POST', undo)).files ?? [],
    onSettled: () => client.invalidateQueries({ queryKey: changesQuery(chat).queryKey }),
  })
}

/** Keeps a model key of one's own; without one, takes it away. */
export function useOwnKey() {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (key: string | undefined) =>
      key === undefined ? call('/key', 'DELETE') : call('/key', 'PUT', { key }),
    onSettled: () => client.invalidateQueries({ queryKey: modelsQuery.queryKey }),
  })
}
