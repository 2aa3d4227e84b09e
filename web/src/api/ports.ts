import { queryOptions } from '@tanstack/react-query'
import { api, data } from './client'
import { useAct } from './queries'
import type { Port } from './types'

export const portsQuery = (id: string) =>
  queryOptions({
    queryKey: ['ports', id],
    queryFn: async () => {
      const { ports, cap } = await data(api.GET('/api/workspaces/{id}/ports', { params: { path: { id } } }))
      return { ports: ports ?? [], cap }
    },
  })

export type PortChange = Pick<Port, 'port' | 'level' | 'wakes' | 'cors'>

/** Adds a port, or changes how it is shared. */
export const useSetPort = (id: string) =>
  useAct(portsQuery(id), ({ port, ...body }: PortChange) =>
    data(api.PUT('/api/workspaces/{id}/ports/{port}', { params: { path: { id, port } }, body })),
  )

export const useRemovePort = (id: string) =>
  useAct(portsQuery(id), (port: number) =>
    data(api.DELETE('/api/workspaces/{id}/ports/{port}', { params: { path: { id, port } } })),
  )
