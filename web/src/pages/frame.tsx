import type { ReactNode } from 'react'
import { Mark } from '@/components/logo'

/** A single centred message: sign-in link, not found, error, waiting. */
export function CentredPage({ children }: { children: ReactNode }) {
  return (
    <main className="mx-auto grid min-h-dvh w-full max-w-md content-center gap-6 px-5 py-12">
      <Mark className="h-8" />
      {children}
    </main>
  )
}

export function Heading({ children }: { children: ReactNode }) {
  return <h1 className="text-2xl font-semibold tracking-tight text-balance">{children}</h1>
}
