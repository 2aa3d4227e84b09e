import { createContext, useContext, useSyncExternalStore } from 'react'
import { appendOutput } from '@/lib/terminal'

/** What running commands have printed, by call. It is not in the messages, so that output does not redraw them. */
export class LiveOutput {
  readonly #texts = new Map<string, string>()
  readonly #listeners = new Set<() => void>()

  add(call: string, text: string) {
    this.#texts.set(call, appendOutput(this.#texts.get(call) ?? '', text))
    for (const listener of this.#listeners) listener()
  }

  /** A stream that is read anew says everything anew. */
  clear() {
    this.#texts.clear()
    for (const listener of this.#listeners) listener()
  }

  get = (call: string) => this.#texts.get(call) ?? ''

  subscribe = (listener: () => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

export const LiveOutputContext = createContext(new LiveOutput())

export function useLiveOutput(call: string): string {
  const output = useContext(LiveOutputContext)
  return useSyncExternalStore(output.subscribe, () => output.get(call))
}
