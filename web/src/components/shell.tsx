import { Link } from '@tanstack/react-router'
import type { ReactNode } from 'react'
import type { Me } from '@/api/types'
import { Logo } from './logo'
import { UserMenu } from './user-menu'

export function Shell({ me, children }: { me: Me; children: ReactNode }) {
  return (
    <>
      <header className="border-b">
        <div className="mx-auto flex h-13 max-w-5xl items-center gap-4 px-4 sm:px-6">
          <Link to="/workspaces" className="inline-flex rounded-sm" aria-label="Kalpana, all workspaces">
            <Logo />
          </Link>
          <Link
            to="/workspaces"
            activeOptions={{ exact: true, includeSearch: false }}
            className="rounded-sm text-muted transition-colors hover:text-foreground aria-[current=page]:text-foreground"
          >
            Workspaces
          </Link>
          <div className="flex-1" />
          <UserMenu me={me} />
        </div>
      </header>
      <main className="mx-auto w-full max-w-5xl px-4 py-7 sm:px-6 sm:py-10">{children}</main>
    </>
  )
}
