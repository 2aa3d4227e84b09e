import { queryOptions } from '@tanstack/react-query'
import { api, data } from './client'
import { useAct } from './queries'
import type { NewToken } from './types'

export const sessionsQuery = queryOptions({
  queryKey: ['sessions'],
  queryFn: async () => (await data(api.GET('/api/sessions'))).sessions,
})

export const useEndSession = () =>
  useAct(sessionsQuery, (id: string) => data(api.DELETE('/api/sessions/{id}', { params: { path: { id } } })))

/** Ends every session but the one that asks. */
export const useEndOtherSessions = () =>
  useAct(sessionsQuery, (_: undefined) => data(api.DELETE('/api/sessions')))

export const tokensQuery = queryOptions({
  queryKey: ['tokens'],
  queryFn: async () => (await data(api.GET('/api/tokens'))).tokens,
})

export const useCreateToken = () =>
  useAct(tokensQuery, (body: NewToken) => data(api.POST('/api/tokens', { body })))

export const useRevokeToken = () =>
  useAct(tokensQuery, (id: string) => data(api.DELETE('/api/tokens/{id}', { params: { path: { id } } })))

export const accountsQuery = queryOptions({
  queryKey: ['accounts'],
  queryFn: async () => (await data(api.GET('/api/accounts'))).accounts,
})

export const useDisconnect = () =>
  useAct(accountsQuery, (path: { provider: string; subject: string }) =>
    data(api.DELETE('/api/accounts/{provider}/{subject}', { params: { path } })),
  )

export const gitIdentityQuery = queryOptions({
  queryKey: ['git-identity'],
  queryFn: () => data(api.GET('/api/git-identity')),
})

export const useSetGitIdentity = () =>
  useAct(gitIdentityQuery, (body: { name: string; email: string }) =>
    data(api.PUT('/api/git-identity', { body })),
  )

export const gitTokensQuery = queryOptions({
  queryKey: ['git-tokens'],
  queryFn: async () => (await data(api.GET('/api/git-tokens'))).tokens,
})

export const useSetGitToken = () =>
  useAct(gitTokensQuery, (body: { server: string; username?: string; token: string }) =>
    data(api.PUT('/api/git-tokens', { body })),
  )

export const useDeleteGitToken = () =>
  useAct(gitTokensQuery, (server: string) =>
    data(api.DELETE('/api/git-tokens', { params: { query: { server } } })),
  )
