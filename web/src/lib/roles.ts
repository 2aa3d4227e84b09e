import type { Role } from '@/api/types'

export const roles: { value: Role; text: string }[] = [
  { value: 'member', text: 'Member' },
  { value: 'admin', text: 'Admin' },
]

/** The role that a select's value stands for. */
export function asRole(value: string): Role {
  return value === 'admin' ? 'admin' : 'member'
}
