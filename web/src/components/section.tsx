import { Link, type LinkProps } from '@tanstack/react-router'
import type { ReactNode } from 'react'

type Entry = { to: LinkProps['to']; text: string }

/** The pages of one part of the console, as a row of links. */
export function SectionNav({ label, entries }: { label: string; entries: Entry[] }) {
  return (
    <nav
      aria-label={label}
      className="-mx-4 -mt-4 mb-7 overflow-x-auto border-b px-1.5 sm:mx-0 sm:-mt-6 sm:px-0"
    >
      <ul className="flex gap-1">
        {entries.map(({ to, text }) => (
          <li key={to}>
            <Link
              to={to}
              className="-mb-px inline-flex h-10 items-center border-b-2 border-transparent px-2.5 whitespace-nowrap text-muted -outline-offset-2 transition-colors hover:text-foreground aria-[current=page]:border-primary aria-[current=page]:text-foreground"
            >
              {text}
            </Link>
          </li>
        ))}
      </ul>
    </nav>
  )
}

type Props = { title: string; description?: ReactNode; action?: ReactNode; children: ReactNode }

export function Section({ title, description, action, children }: Props) {
  return (
    <>
      <div className="mb-5 flex flex-wrap items-center justify-between gap-x-6 gap-y-3">
        <div className="grid flex-1 basis-72 gap-0.5">
          <h1 className="text-xl font-semibold tracking-tight">{title}</h1>
          {description && <p className="max-w-[72ch] text-pretty text-muted">{description}</p>}
        </div>
        {action}
      </div>
      {children}
    </>
  )
}
