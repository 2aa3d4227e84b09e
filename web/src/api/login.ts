import { queryOptions, useMutation } from '@tanstack/react-query'
import { useEffect } from 'react'
import { api, data } from './client'

/** The ways to sign in that the operator has set up. */
export const methodsQuery = queryOptions({
  queryKey: ['login'],
  queryFn: async () => (await data(api.GET('/api/login'))).methods,
  staleTime: 60_000,
})

/** `connect` adds the account to the person who is signed in. */
type Start = { provider: string; next?: string; invitation?: string; connect?: boolean }

/** Sends the browser to a login provider, which sends it back to the server. */
export function useProvider() {
  const start = useMutation({
    mutationFn: async ({ provider, ...body }: Start) => {
      const { url } = await data(api.POST('/api/login/{provider}', { params: { path: { provider } }, body }))
      window.location.assign(url)
    },
    meta: { anonymous: true },
  })
  const { reset } = start
  // Whoever comes back with the browser's Back button finds the page as it was left.
  useEffect(() => {
    const back = (event: PageTransitionEvent) => event.persisted && reset()
    window.addEventListener('pageshow', back)
    return () => window.removeEventListener('pageshow', back)
  }, [reset])
  return { ...start, going: start.isPending || start.isSuccess }
}

export function useLinkSignIn() {
  return useMutation({
    mutationFn: (token: string) => data(api.POST('/api/login/link', { body: { token } })),
    meta: { anonymous: true },
  })
}

export function useRedeem() {
  return useMutation({
    mutationFn: (body: { token: string; name: string }) =>
      data(api.POST('/api/invitations/redeem', { body })),
    meta: { anonymous: true },
  })
}

export function useSignOut() {
  return useMutation({ mutationFn: () => data(api.POST('/api/logout')), meta: { anonymous: true } })
}
