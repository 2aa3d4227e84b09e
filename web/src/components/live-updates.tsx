import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useRouter } from '@tanstack/react-router'
import { useEffect, useState } from 'react'
import { follow } from '@/api/connection'
import { announce } from '@/api/feed'
import { applyEvent, meQuery, workspacesQuery } from '@/api/queries'

/** Keeps the list of workspaces live while it is mounted, and says aloud what changes. */
export function LiveUpdates() {
  const client = useQueryClient()
  const router = useRouter()
  const { data: me } = useQuery(meQuery)
  const [news, setNews] = useState('')

  useEffect(() => {
    if (me !== null) return
    client.removeQueries({ queryKey: workspacesQuery.queryKey })
    void router.invalidate()
  }, [me, client, router])

  useEffect(
    () =>
      follow(
        (event) => {
          const before = client.getQueryData(workspacesQuery.queryKey) ?? []
          applyEvent(client, event)
          const text = announce(before, client.getQueryData(workspacesQuery.queryKey) ?? [])
          if (text) setNews(text)
        },
        // The stream does not tell why it failed; asking who we are does.
        () => void client.invalidateQueries({ queryKey: meQuery.queryKey }),
      ),
    [client],
  )

  return (
    <div aria-live="polite" className="sr-only">
      {news}
    </div>
  )
}
