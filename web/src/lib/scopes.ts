import type { Me, Scope } from '@/api/types'

/** What an API token may be allowed to do, in the order of its reach. */
const scopes: { scope: Scope; title: string; note: string }[] = [
  { scope: 'workspaces:read', title: 'See workspaces', note: 'Lists your workspaces and their states.' },
  {
    scope: 'workspaces:write',
    title: 'Change workspaces',
    note: 'Creates, starts, pauses, stops, rebuilds, renames, shares and deletes your workspaces.',
  },
  {
    scope: 'workspaces:open',
    title: 'Open workspaces',
    note: 'Reaches VS Code in your workspaces, and with it all your files and terminals.',
  },
  {
    scope: 'agent',
    title: 'Use the agent',
    note: 'Talks to the agent in your workspaces, which reads, changes and runs what is in them.',
  },
  {
    scope: 'admin',
    title: 'Administer',
    note: 'Whatever an admin may: people, invitations, the audit log. As long as you are one.',
  },
]

/** The scopes that somebody's token may have. */
export function scopesFor({ role }: Me) {
  return scopes.filter(({ scope }) => scope !== 'admin' || role === 'admin')
}

export function scopeTitle(scope: string): string {
  return scopes.find((known) => known.scope === scope)?.title ?? scope
}

const day = 24

/** How long a token may last, in hours. */
export const lifetimes = [
  { value: `${day}`, text: '1 day' },
  { value: `${7 * day}`, text: '7 days' },
  { value: `${30 * day}`, text: '30 days' },
  { value: `${90 * day}`, text: '90 days' },
  { value: `${365 * day}`, text: '1 year' },
]
