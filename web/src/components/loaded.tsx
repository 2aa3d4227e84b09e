import type { ReactNode } from 'react'
import { ProblemNotice } from './problem-notice'
import { Button } from './ui/button'

type Query<T> = { data: T | undefined; error: unknown; refetch: () => unknown }
type Props<T> = { query: Query<T>; what: string; rows?: number; children: (data: T) => ReactNode }

/** What a query holds; until it does, rows of about its size or what went wrong. */
export function Loaded<T>({ query, what, rows = 3, children }: Props<T>) {
  if (query.data !== undefined) return children(query.data)
  if (!query.error) return <Skeleton label={`Loading ${what}`} rows={rows} />
  return (
    <ProblemNotice
      error={query.error}
      action={
        <Button size="sm" onClick={() => void query.refetch()}>
          Try again
        </Button>
      }
    />
  )
}

export function Skeleton({ label, rows = 3 }: { label: string; rows?: number }) {
  return (
    <div role="status" aria-label={label} className="divide-y rounded-xl border bg-card">
      {Array.from({ length: rows }, (_, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: they are all the same
        <div key={row} className="grid animate-breathe gap-2.5 p-5">
          <div className="h-4 w-44 rounded bg-hover" />
          <div className="h-3 w-72 max-w-full rounded bg-hover" />
        </div>
      ))}
    </div>
  )
}
