import type { paths } from './schema'

type Answer<P extends keyof paths> = paths[P] extends {
  get: { responses: { 200: { content: { 'application/json': infer T } } } }
}
  ? T
  : never
type Body<P extends keyof paths> = paths[P] extends {
  post: { requestBody: { content: { 'application/json': infer T } } }
}
  ? T
  : never
type Item<L> = NonNullable<L> extends (infer T)[] ? T : never

export type Me = Answer<'/api/me'>
export type Template = Item<Answer<'/api/templates'>['templates']>
export type Workspace = Item<Answer<'/api/workspaces'>['workspaces']>
export type State = Workspace['state']
export type Schedule = NonNullable<Workspace['schedule']>
export type Start = NonNullable<Workspace['start']>
export type Stage = Start['stages'][number]
export type Queue = NonNullable<Workspace['queue']>

export type Method = Item<Answer<'/api/login'>['methods']>
export type Session = Item<Answer<'/api/sessions'>['sessions']>
export type NewToken = Body<'/api/tokens'>
export type Scope = NewToken['scopes'][number]
export type Token = Item<Answer<'/api/tokens'>['tokens']>
export type Account = Item<Answer<'/api/accounts'>['accounts']>
export type Person = Item<Answer<'/api/people'>['people']>
export type Role = Person['role']
export type Quota = Person['quota']
export type NewInvitation = Body<'/api/invitations'>
export type Invitation = Item<Answer<'/api/invitations'>['invitations']>
export type OwnedWorkspace = Item<Answer<'/api/admin/workspaces'>['workspaces']>
export type AuditEvent = Item<Answer<'/api/audit'>['events']>
export type GitIdentity = Answer<'/api/git-identity'>
export type GitToken = Item<Answer<'/api/git-tokens'>['tokens']>
export type GitQuestion = Item<Answer<'/api/git-questions'>['questions']>
export type Port = Item<Answer<'/api/workspaces/{id}/ports'>['ports']>
export type Level = Port['level']
