import { DefaultChatTransport } from 'ai'
import type { AgentMessage } from '@/api/agent'

/** In the body of a request: go on after an interruption or an error. */
export const goOn = { continue: true }

type Options = {
  /** What goes with each message: the workspace, and how the agent is to go about it. */
  settings: () => object
  /** There was no run to follow. */
  onIdle: () => void
}

/**
 * The way to the agent. A run is the server's: a stream that ends early is read again from its start. The history is
 * the server's, too, so that the last message is all it is sent.
 */
export function makeTransport({ settings, onIdle }: Options) {
  return new DefaultChatTransport<AgentMessage>({
    api: '/api/agent',
    credentials: 'same-origin',
    fetch: async (address, init) => {
      const response = await fetch(address, init)
      if (response.status === 204) onIdle()
      return response
    },
    prepareSendMessagesRequest: ({ id, messages, trigger, messageId, body }) => ({
      body: { ...settings(), ...body, id, messages: messages.slice(-1), trigger, messageId },
    }),
  })
}
