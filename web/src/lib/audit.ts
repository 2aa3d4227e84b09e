const actions: Record<string, string> = {
  'sign-in': 'Signed in',
  'sign-out': 'Signed out',
  refusal: 'Asked for what is not theirs',
  grant: 'Opened a workspace',
  'share-change': 'Changed a share',
  'token-use': 'Used a token',
  'token-create': 'Made a token',
  'token-revoke': 'Revoked a token',
  'session-revoke': 'Ended a session',
  invitation: 'Invitation',
  connect: 'Connected an account',
  disconnect: 'Disconnected an account',
  'model-key': 'Set or removed a key for the agent',
  create: 'Created a workspace',
  rename: 'Renamed a workspace',
  start: 'Started a workspace',
  stop: 'Stopped a workspace',
  pause: 'Paused a workspace',
  restart: 'Restarted a workspace',
  rebuild: 'Rebuilt a workspace',
  'keep-awake': 'Kept a workspace awake',
  schedule: 'Changed a schedule',
  delete: 'Deleted a workspace',
  'agent-run': 'Ran the agent',
  'git-credential': 'Signed in at a git server',
  admin: 'Administration',
}

/** The actions of the audit log, for a select. */
export const actionOptions = Object.entries(actions).map(([value, text]) => ({ value, text }))

/** An action in words; one that a later version of the server adds, as it is. */
export function actionText(action: string): string {
  return Object.hasOwn(actions, action) ? (actions[action] ?? action) : action
}

/** By what right, where it is not the usual one: "session", "token <id>", a login's name, "workspace", "admin socket", or nothing. */
export function viaText(via: string): string {
  if (via === '' || via === 'session') return ''
  if (via === 'link') return 'by a link'
  if (via === 'invitation') return 'by an invitation'
  if (via === 'workspace') return 'by their workspace'
  if (via === 'admin socket') return 'on the server'
  return via.startsWith('token ') ? 'by a token' : `with ${via}`
}

export type AuditSearch = { person?: string; workspace?: string; action?: string }

/** The filter that an address carries; what is no text, or empty, is left out. */
export function auditSearch(search: Record<string, unknown>): AuditSearch {
  const filter: AuditSearch = {}
  for (const name of ['person', 'workspace', 'action'] as const) {
    const value = search[name]
    if (typeof value === 'string' && value.trim()) filter[name] = value.trim().slice(0, 64)
  }
  return filter
}
