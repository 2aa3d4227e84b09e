import type { paths } from './schema'

type Answer<P extends keyof paths> = paths[P] extends {
  get: { responses: { 200: { content: { 'application/json': infer T } } } }
}
  ? T
  : never

export type Me = Answer<'/api/me'>
export type Template = NonNullable<Answer<'/api/templates'>['templates']>[number]
export type Workspace = NonNullable<Answer<'/api/workspaces'>['workspaces']>[number]
export type State = Workspace['state']
