import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import type { UIMessage } from 'ai'
import { api, data } from './client'
import { useAct } from './queries'
import type { components, paths } from './schema'

// The agent in a workspace: its chats, its models, what it costs. The chat itself is a stream, which useChat of
// the AI SDK reads.

type Schemas = components['schemas']

export type Chat = Schemas['Info']
export type Queued = Schemas['Queued']
export type Waiting = Schemas['Waiting']
/** What a person may allow from then on. */
export type Rule = Schemas['Rule']
export type Model = Schemas['Model']
export type Models = Schemas['Models']
export type Turn = Schemas['Turn']
export type ChangedFile = Schemas['File']
export type UndoneFile = Schemas['UndoneFile']
export type Span = Schemas['UsageSpan']
export type Spans = Schemas['UsageSpans']
export type UsageRow = Schemas['UsageRow']
export type UsageBy = NonNullable<NonNullable<paths['/api/admin/usage']['get']['parameters']['query']>['by']>

/** What is asked for before the agent does it: everything, what changes something, nothing. */
export type Mode = 'ask-all' | 'ask-writes' | 'ask-none'

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

const at = (chat: string) => ({ params: { path: { chat } } })

export const modelsQuery = queryOptions({
  queryKey: ['agent', 'models'],
  queryFn: () => data(api.GET('/api/agent/models')),
  staleTime: 5 * 60_000,
})

/** The chats of a workspace, what was used last first. */
export const chatsQuery = (workspace: string) =>
  queryOptions({
    queryKey: ['agent', 'chats', workspace],
    queryFn: async () =>
      (await data(api.GET('/api/agent/chats', { params: { query: { workspace } } }))).chats,
  })

/** A chat as it is now: what an earlier visit read is of no use, since the chat has gone on. */
export const chatQuery = (chat: string, visit: string) =>
  queryOptions({
    queryKey: ['agent', 'chat', chat, visit],
    queryFn: async () => {
      const { chat: info, messages } = await data(api.GET('/api/agent/{chat}', at(chat)))
      return { chat: info, messages: messages as AgentMessage[] }
    },
    // It is what a conversation starts from; from there on the stream tells.
    gcTime: 0,
    staleTime: Number.POSITIVE_INFINITY,
    refetchOnWindowFocus: false,
  })

export const changesQuery = (chat: string) =>
  queryOptions({
    queryKey: ['agent', 'changes', chat],
    queryFn: async () => (await data(api.GET('/api/agent/{chat}/changes', at(chat)))).turns,
  })

/** What your agents used and may use; in a workspace, if one is named. */
export const usageQuery = (workspace?: string) =>
  queryOptions({
    queryKey: ['agent', 'usage', workspace],
    queryFn: () => data(api.GET('/api/agent/usage', { params: { query: { workspace } } })),
  })

/** What all agents used since a day. */
export const adminUsageQuery = (by: UsageBy, since: string) =>
  queryOptions({
    queryKey: ['agent', 'admin-usage', by, since],
    queryFn: async () => (await data(api.GET('/api/admin/usage', { params: { query: { by, since } } }))).rows,
  })

export const useRenameChat = (workspace: string) =>
  useAct(chatsQuery(workspace), ({ chat, title }: { chat: string; title: string }) =>
    data(api.PATCH('/api/agent/{chat}', { ...at(chat), body: { title } })),
  )

/** Changes what a chat asks for, also for a run that is under way. */
export const useChangeMode = (workspace: string, chat: string) =>
  useAct(chatsQuery(workspace), (mode: Mode) =>
    data(api.PATCH('/api/agent/{chat}', { ...at(chat), body: { mode } })),
  )

export const useDeleteChat = (workspace: string) =>
  useAct(chatsQuery(workspace), (chat: string) => data(api.DELETE('/api/agent/{chat}', at(chat))))

export const useStopRun = (chat: string) =>
  useMutation({ mutationFn: (_: undefined) => data(api.POST('/api/agent/{chat}/stop', at(chat))) })

/** Says something to an agent that is at work: it reads it between two steps. */
export const useQueueMessage = (chat: string) =>
  useMutation({
    mutationFn: (text: string) => data(api.POST('/api/agent/{chat}/queue', { ...at(chat), body: { text } })),
  })

export type Undo = { messageId: string; path?: string }

/** Takes changes back; the files that it does not do that for say why. */
export const useUndo = (chat: string) =>
  useAct(
    changesQuery(chat),
    async (body: Undo) => (await data(api.POST('/api/agent/{chat}/undo', { ...at(chat), body }))).files ?? [],
  )

export const keyQuery = queryOptions({
  queryKey: ['agent', 'key'],
  queryFn: () => data(api.GET('/api/agent/key')),
})

/** Keeps a model key of one's own; without one, takes it away. */
export function useOwnKey() {
  const client = useQueryClient()
  return useMutation({
    mutationFn: async (key: string | undefined) =>
      key === undefined
        ? await data(api.DELETE('/api/agent/key')).then(() => undefined)
        : await data(api.PUT('/api/agent/key', { body: { key } })),
    onSettled: () =>
      Promise.all([modelsQuery, keyQuery].map(({ queryKey }) => client.invalidateQueries({ queryKey }))),
  })
}
