import { useEffect, useState } from 'react'
import { type Listening, readListening } from '@/lib/ports'

/** Time between two looks, in ms. A look is no use of the workspace: it may go to sleep meanwhile. */
const every = 3_000

/** The ports that programs in a workspace listen on; undefined as long as nobody can tell. */
export function useListening(id: string, running: boolean): Listening[] | undefined {
  const [ports, setPorts] = useState<Listening[]>()
  useEffect(() => {
    if (!running) return
    let socket: WebSocket | undefined
    const look = () => {
      if (document.hidden) return
      const ask = () => socket?.send('{"jsonrpc":"2.0","id":1,"method":"listPorts"}')
      if (socket?.readyState === WebSocket.OPEN) ask()
      if (socket && socket.readyState <= WebSocket.OPEN) return
      socket = new WebSocket(`/api/workspaces/${id}/bridge`)
      socket.onopen = ask
      socket.onmessage = ({ data }: MessageEvent<string>) => setPorts(readListening(data))
      socket.onclose = () => setPorts(undefined)
    }
    look()
    const timer = setInterval(look, every)
    return () => {
      clearInterval(timer)
      if (socket) socket.onclose = null
      socket?.close()
      setPorts(undefined)
    }
  }, [id, running])
  return ports
}
