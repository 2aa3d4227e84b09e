import type { ReactNode } from 'react'

export function List({ label, children }: { label: string; children: ReactNode }) {
  return (
    <ul aria-label={label} className="divide-y overflow-hidden rounded-xl border bg-card">
      {children}
    </ul>
  )
}

type ItemProps = { title: ReactNode; tags?: ReactNode; actions?: ReactNode; children?: ReactNode }

/** A row: what it is, what is known about it (children), what can be done with it. */
export function Item({ title, tags, actions, children }: ItemProps) {
  return (
    <li className="flex flex-wrap items-center gap-x-4 gap-y-3 p-4 sm:px-5">
      <div className="grid min-w-0 flex-1 basis-48 grid-cols-1 gap-1">
        <div className="flex min-h-6 min-w-0 flex-wrap items-center gap-x-2.5 gap-y-1">
          <h2 className="min-w-0 font-medium break-words">{title}</h2>
          {tags}
        </div>
        {children}
      </div>
      {actions && <div className="flex flex-wrap items-center gap-2">{actions}</div>}
    </li>
  )
}

export function ItemNote({ children }: { children: ReactNode }) {
  return <p className="text-[0.8125rem] break-words text-muted">{children}</p>
}

export function Dot() {
  return (
    <span aria-hidden className="mx-1.5 text-muted/60">
      ·
    </span>
  )
}

export function Empty({ children }: { children: ReactNode }) {
  return (
    <p className="rounded-xl border border-dashed border-input px-6 py-10 text-center text-soft text-balance">
      {children}
    </p>
  )
}
