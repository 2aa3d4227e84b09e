import { Link } from '@tanstack/react-router'
import { ChevronDown, LogOut, Settings, ShieldCheck } from 'lucide-react'
import { useSignOut } from '@/api/login'
import type { Me } from '@/api/types'
import { forgetNext } from '@/lib/next'
import { Button } from './ui/button'
import { Menu, MenuItem, MenuLabel, MenuSeparator } from './ui/menu'

export function UserMenu({ me }: { me: Me }) {
  const signOut = useSignOut()

  // A fresh page keeps nothing of the session. A promise, since the event stream may end first and take
  // this menu away, with the callbacks that mutate() was given.
  const leave = () =>
    signOut.mutateAsync().then(
      () => {
        // Until then the page may take this for a session that ended, and keep where to go on.
        window.addEventListener('pagehide', forgetNext)
        window.location.assign('/')
      },
      () => {}, // shown below
    )

  return (
    <>
      {signOut.isError && (
        <p role="alert" className="text-xs text-destructive">
          Sign-out failed
        </p>
      )}
      <Menu
        trigger={
          <Button variant="ghost" size="sm" className="-mr-2.5 min-w-0 shrink pl-1.5">
            <span
              aria-hidden
              className="grid size-6 shrink-0 place-items-center rounded-full border border-primary/30 bg-primary/10 text-xs font-semibold text-primary uppercase"
            >
              {[...me.name][0] ?? '?'}
            </span>
            <span className="sr-only">Account of </span>
            <span className="max-w-40 truncate max-sm:sr-only">{me.name}</span>
            <ChevronDown aria-hidden className="text-muted" />
          </Button>
        }
      >
        <MenuLabel className="max-w-64 px-2.5 py-1.5">
          <span className="block truncate text-sm font-medium">{me.name}</span>
          <span className="block text-xs text-muted">{me.role === 'admin' ? 'Admin' : 'Member'}</span>
        </MenuLabel>
        <MenuSeparator />
        <MenuItem asChild>
          <Link to="/settings/sessions">
            <Settings aria-hidden />
            Settings
          </Link>
        </MenuItem>
        {me.role === 'admin' && (
          <MenuItem asChild>
            <Link to="/admin/people">
              <ShieldCheck aria-hidden />
              Administration
            </Link>
          </MenuItem>
        )}
        <MenuSeparator />
        <MenuItem onSelect={() => void leave()} disabled={signOut.isPending}>
          <LogOut aria-hidden />
          Sign out
        </MenuItem>
      </Menu>
    </>
  )
}
