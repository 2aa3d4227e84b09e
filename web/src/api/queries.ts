import {
  MutationCache,
  QueryCache,
  QueryClient,
  type QueryKey,
  queryOptions,
  useMutation,
  useQuery,
  useQueryClient,
} from '@tanstack/react-query'
import type { Verb } from '@/lib/awake'
import { api, data, isSignedOut } from './client'
import { useConnection } from './connection'
import { type FeedEvent, reduce } from './feed'
import { Problem } from './problem'
import type { Schedule, Workspace } from './types'

export const meQuery = queryOptions({
  queryKey: ['me'],
  /** null when nobody is signed in. */
  queryFn: async () => {
    try {
      return await data(api.GET('/api/me'))
    } catch (error) {
      if (isSignedOut(error)) return null
      throw error
    }
  },
  staleTime: 60_000,
})

export const templatesQuery = queryOptions({
  queryKey: ['templates'],
  queryFn: async () => (await data(api.GET('/api/templates'))).templates ?? [],
  staleTime: 5 * 60_000,
})

export const workspacesQuery = queryOptions({
  queryKey: ['workspaces'],
  queryFn: async () => {
    const { workspaces } = await data(api.GET('/api/workspaces'))
    return reduce([], { type: 'snapshot', workspaces: workspaces ?? [] })
  },
  // The event stream keeps it fresh.
  staleTime: Number.POSITIVE_INFINITY,
})

export function useWorkspaces() {
  const { connection } = useConnection()
  return useQuery({ ...workspacesQuery, refetchInterval: connection === 'lost' ? 10_000 : false })
}

export function makeQueryClient(): QueryClient {
  const onError = (error: unknown) => {
    if (isSignedOut(error)) client.setQueryData(meQuery.queryKey, null)
  }
  const client = new QueryClient({
    queryCache: new QueryCache({ onError }),
    mutationCache: new MutationCache({
      onError: (error, _variables, _result, mutation) => {
        if (!mutation.meta?.anonymous) onError(error)
      },
    }),
    defaultOptions: {
      queries: {
        networkMode: 'always',
        retry: (count, error) => count < 2 && !(error instanceof Problem && error.status < 500),
      },
      mutations: { networkMode: 'always' },
    },
  })
  return client
}

/** What waits for one's word; the event stream keeps it up to date. */
export const gitQuestionsQuery = queryOptions({
  queryKey: ['git-questions'],
  queryFn: async () => (await data(api.GET('/api/git-questions'))).questions,
})

export function applyEvent(client: QueryClient, event: FeedEvent): void {
  // A stream tells of questions after its snapshot, unless there are none.
  if (event.type === 'snapshot') client.setQueryData(gitQuestionsQuery.queryKey, [])
  if (event.type === 'git-questions') {
    client.setQueryData(gitQuestionsQuery.queryKey, event.questions)
    return
  }
  // A list that is still on its way was read before this event.
  if (event.type === 'snapshot') void client.cancelQueries({ queryKey: workspacesQuery.queryKey })
  client.setQueryData(workspacesQuery.queryKey, (list) => {
    if (!list && event.type !== 'snapshot') return undefined
    return reduce(list ?? [], event)
  })
}

type WorkspaceId = { params: { path: { id: string } } }
const at = (id: string): WorkspaceId => ({ params: { path: { id } } })

function useChange<V>(mutationFn: (variables: V) => Promise<Workspace>) {
  const client = useQueryClient()
  return useMutation({
    mutationFn,
    onSuccess: (workspace) => applyEvent(client, { type: 'workspace', workspace }),
  })
}

export type NewWorkspace = { name: string; template: string; repository?: string }

export const useCreate = () => useChange((body: NewWorkspace) => data(api.POST('/api/workspaces', { body })))

/** Starts, stops, pauses, restarts or rebuilds. */
export const useDo = (id: string) =>
  useChange((verb: Verb) => data(api.POST(`/api/workspaces/{id}/${verb}`, at(id))))

/** Keeps a workspace awake for some hours; 0 lets it sleep again. */
export const useKeepAwake = (id: string) =>
  useChange((hours: number) =>
    data(
      hours > 0
        ? api.PUT('/api/workspaces/{id}/keep-awake', { ...at(id), body: { hours } })
        : api.DELETE('/api/workspaces/{id}/keep-awake', at(id)),
    ),
  )

/** Sets the schedule of a workspace; without one it is cleared. */
export const useSchedule = (id: string) =>
  useChange((schedule: Schedule | undefined) =>
    data(
      schedule
        ? api.PUT('/api/workspaces/{id}/schedule', { ...at(id), body: schedule })
        : api.DELETE('/api/workspaces/{id}/schedule', at(id)),
    ),
  )

export const useRename = (id: string) =>
  useChange((name: string) => data(api.PATCH('/api/workspaces/{id}', { ...at(id), body: { name } })))

export function useDelete() {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (id: string) => data(api.DELETE('/api/workspaces/{id}', at(id))),
    onSuccess: (_, id) => applyEvent(client, { type: 'deleted', id }),
  })
}

/** A change after which a list is read anew before the change counts as done. */
export function useAct<V, R>(list: { queryKey: QueryKey }, mutationFn: (variables: V) => Promise<R>) {
  const client = useQueryClient()
  return useMutation({
    mutationFn,
    // Also after a failure: the list may have been out of date.
    onSettled: () => client.invalidateQueries({ queryKey: list.queryKey }),
  })
}

export const useAnswerGit = () =>
  useAct(gitQuestionsQuery, ({ id, ...body }: { id: string; allow: boolean; hours: number }) =>
    data(api.POST('/api/git-questions/{id}', { params: { path: { id } }, body })),
  )
