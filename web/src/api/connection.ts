import { useSyncExternalStore } from 'react'
import { type FeedEvent, parseEvent } from './feed'

export type Connection = 'connecting' | 'live' | 'lost'

let connection: Connection = 'connecting'
let retryNow = () => {}
const listeners = new Set<() => void>()

function setConnection(next: Connection) {
  if (next === connection) return
  connection = next
  for (const listener of listeners) listener()
}

export function useConnection(): { connection: Connection; retry: () => void } {
  const current = useSyncExternalStore(
    (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    () => connection,
  )
  return { connection: current, retry: () => retryNow() }
}

const firstDelay = 1_000
const longestDelay = 15_000
/** A reload of the server is over in a moment and deserves no banner. */
const patience = 3_000
/** A hidden tab gives its connection back: over plain HTTP a browser has six of them a host. */
const hiddenAfter = 60_000

/** Follows the event stream until the returned function is called. `onFail` runs on each failure. */
export function follow(onEvent: (event: FeedEvent) => void, onFail: () => void): () => void {
  let source: EventSource | undefined
  let delay = firstDelay
  let retryTimer: ReturnType<typeof setTimeout> | undefined
  let lostTimer: ReturnType<typeof setTimeout> | undefined
  let hiddenTimer: ReturnType<typeof setTimeout> | undefined

  function close() {
    source?.close()
    source = undefined
    clearTimeout(retryTimer)
  }

  function open() {
    close()
    const stream = new EventSource('/api/events')
    source = stream
    for (const type of ['snapshot', 'workspace', 'deleted', 'git-questions']) {
      stream.addEventListener(type, (message: MessageEvent<string>) => {
        delay = firstDelay
        clearTimeout(lostTimer)
        lostTimer = undefined
        setConnection('live')
        const event = parseEvent(type, message.data)
        if (event) onEvent(event)
      })
    }
    stream.addEventListener('stopping', () => again(firstDelay))
    stream.addEventListener('error', () => {
      onFail()
      again(delay)
      delay = Math.min(delay * 2, longestDelay)
    })
  }

  function again(wait: number) {
    close()
    lostTimer ??= setTimeout(() => setConnection('lost'), patience)
    retryTimer = setTimeout(open, wait)
  }

  function onVisibility() {
    clearTimeout(hiddenTimer)
    if (document.visibilityState === 'hidden') hiddenTimer = setTimeout(close, hiddenAfter)
    else if (!source) open()
  }

  function onOffline() {
    close()
    setConnection('lost')
  }

  retryNow = open
  setConnection('connecting')
  open()
  window.addEventListener('online', open)
  window.addEventListener('offline', onOffline)
  document.addEventListener('visibilitychange', onVisibility)

  return () => {
    close()
    clearTimeout(lostTimer)
    clearTimeout(hiddenTimer)
    window.removeEventListener('online', open)
    window.removeEventListener('offline', onOffline)
    document.removeEventListener('visibilitychange', onVisibility)
  }
}
