// Routes that the generated schema does not have yet. This file goes when it has.

type Json<T> = { content: { 'application/json': T } }
type Operation<Status extends number, T, Path = undefined, Body = undefined, Query = undefined> = {
  parameters: (Path extends undefined ? { path?: never } : { path: Path }) &
    (Query extends undefined ? { query?: never } : { query?: Query }) & { header?: never; cookie?: never }
  responses: {
    [S in Status]: { headers: Record<string, unknown> } & (T extends undefined
      ? { content?: never }
      : Json<T>)
  }
} & (Body extends undefined ? { requestBody?: never } : { requestBody: Json<Body> })
type Get<T, Path = undefined, Query = undefined> = Operation<200, T, Path, undefined, Query>
type Post<T, Body, Path = undefined> = Operation<200, T, Path, Body>
type Remove<Path = undefined> = Operation<204, undefined, Path>

type Method = { name: string; title: string; kind: 'link' | 'github' | 'oidc' }
type Account = { provider: string; subject: string; login: string; email?: string; createdAt: string }
type Person = {
  id: string
  name: string
  email?: string
  role: 'admin' | 'member'
  disabled: boolean
  byRule: boolean
  createdAt: string
}
type Invitation = {
  id: string
  role: 'admin' | 'member'
  note?: string
  by: string
  createdAt: string
  expiresAt: string
}
type Level = 'private' | 'members' | 'public'
type Port = { port: number; url: string; level: Level; effective: Level; wakes: boolean; cors: boolean }
type NewInvitation = { role: 'admin' | 'member'; note?: string; lifetimeHours?: number }

export interface planned {
  '/api/login': { get: Get<{ methods: Method[] }> }
  '/api/login/{provider}': {
    post: Post<
      { url: string },
      { next?: string; invitation?: string; connect?: boolean },
      { provider: string }
    >
  }
  '/api/invitations/redeem': {
    post: Operation<204, undefined, undefined, { token: string; name: string }>
  }
  '/api/invitations': {
    get: Get<{ invitations: Invitation[] }>
    post: Operation<201, Invitation & { url: string }, undefined, NewInvitation>
  }
  '/api/invitations/{id}': { delete: Remove<{ id: string }> }
  '/api/people': { get: Get<{ people: Person[] }> }
  '/api/people/{id}': {
    patch: Post<Person, { role?: 'admin' | 'member'; disabled?: boolean }, { id: string }>
  }
  '/api/people/{id}/sign-in-link': {
    post: Operation<200, { url: string; expiresAt: string }, { id: string }>
  }
  '/api/accounts': { get: Get<{ accounts: Account[] }> }
  '/api/accounts/{provider}/{subject}': { delete: Remove<{ provider: string; subject: string }> }
  '/api/workspaces/{id}/ports': { get: Get<{ ports: Port[]; cap: Level }, { id: string }> }
  '/api/workspaces/{id}/ports/{port}': {
    put: Post<Port, { level: Level; wakes?: boolean; cors?: boolean }, { id: string; port: number }>
    delete: Remove<{ id: string; port: number }>
  }
}
