import { queryOptions } from '@tanstack/react-query'
import { api, data } from './client'
import { useAct } from './queries'
import type { Port } from './types'

/** The ports that have settings of their own; every other is private. */
export const portsQuery = (id: string) =>
  queryOptions({
    queryKey: ['ports', id],
    queryFn: () => data(api.GET('/api/workspaces/{id}/ports', { params: { path: { id } } })),
  })

export type PortChange = Pick<Port, 'port' | 'level' | 'wakes' | 'cors'>

/** Changes how a port is shared. */
export const useSetPort = (id: string) =>
  useAct(portsQuery(id), ({ port, ...body }: PortChange) =>
    data(api.PUT('/api/workspaces/{id}/ports/{port}', { params: { path: { id, port } }, body })),
  )

/** Makes a port private, without further settings. */
export const useResetPort = (id: string) =>
  useAct(portsQuery(id), (port: number) =>
    data(api.DELETE('/api/workspaces/{id}/ports/{port}', { params: { path: { id, port } } })),
  )
