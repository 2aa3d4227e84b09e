import { infiniteQueryOptions, queryOptions, useMutation } from '@tanstack/react-query'
import type { AuditSearch } from '@/lib/audit'
import { api, data } from './client'
import { useAct } from './queries'
import type { NewInvitation, Quota, Role } from './types'

// What admins see and do.

export const peopleQuery = queryOptions({
  queryKey: ['people'],
  queryFn: () => data(api.GET('/api/people')),
})

export type PersonChange = { id: string; role?: Role; disabled?: boolean; quota?: Quota }

export const useChangePerson = () =>
  useAct(peopleQuery, ({ id, ...body }: PersonChange) =>
    data(api.PATCH('/api/people/{id}', { params: { path: { id } }, body })),
  )

export const useSignInLink = () =>
  useMutation({
    mutationFn: (id: string) => data(api.POST('/api/people/{id}/sign-in-link', { params: { path: { id } } })),
  })

export const invitationsQuery = queryOptions({
  queryKey: ['invitations'],
  queryFn: async () => (await data(api.GET('/api/invitations'))).invitations,
})

export const useInvite = () =>
  useAct(invitationsQuery, (body: NewInvitation) => data(api.POST('/api/invitations', { body })))

export const useRevokeInvitation = () =>
  useAct(invitationsQuery, (id: string) =>
    data(api.DELETE('/api/invitations/{id}', { params: { path: { id } } })),
  )

/** Everybody's workspaces, or those of one person, that have certain words. */
export const allWorkspacesQuery = (owner?: string, q?: string) =>
  queryOptions({
    queryKey: ['all-workspaces', owner, q],
    queryFn: () => data(api.GET('/api/admin/workspaces', { params: { query: { owner, q } } })),
  })

export const useStopAny = () =>
  useAct({ queryKey: ['all-workspaces'] }, (id: string) =>
    data(api.POST('/api/admin/workspaces/{id}/stop', { params: { path: { id } } })),
  )

export const auditQuery = (filter: AuditSearch) =>
  infiniteQueryOptions({
    queryKey: ['audit', filter],
    queryFn: async ({ pageParam }) => {
      const query = { ...filter, ...(pageParam && { before: pageParam }), limit: 50 }
      return data(api.GET('/api/audit', { params: { query } }))
    },
    initialPageParam: '',
    getNextPageParam: ({ next }) => next,
  })
