const openKey = 'kalpana.agent.open'
const widthKey = 'kalpana.agent.width'
const chatKey = (workspace: string) => `kalpana.agent.chat.${workspace}`
const choiceKey = 'kalpana.agent.choice'

function read(key: string): string | undefined {
  try {
    return localStorage.getItem(key) ?? undefined
  } catch {
    return undefined // storage may be blocked
  }
}

function write(key: string, value: string | undefined): void {
  try {
    if (value === undefined) localStorage.removeItem(key)
    else localStorage.setItem(key, value)
  } catch {
    // See read.
  }
}

export const recallOpen = () => read(openKey) === 'yes'
export const rememberOpen = (open: boolean) => write(openKey, open ? 'yes' : undefined)

/** The share of the view that the agent has beside VS Code, in percent. */
export function recallWidth(): number | undefined {
  const width = Number(read(widthKey))
  return width > 0 && width < 100 ? width : undefined
}
export const rememberWidth = (percent: number) => write(widthKey, percent.toFixed(2))

/** The chat that was open in a workspace last. */
export const recallChat = (workspace: string) => read(chatKey(workspace))
export const rememberChat = (workspace: string, chat: string | undefined) => write(chatKey(workspace), chat)

export type Choice = { model?: string; mode?: string }

/** What was chosen for a chat last, for the next one. */
export function recallChoice(): Choice {
  try {
    const choice: unknown = JSON.parse(read(choiceKey) ?? '{}')
    if (typeof choice !== 'object' || choice === null) return {}
    const { model, mode } = choice as Record<string, unknown>
    return {
      ...(typeof model === 'string' && { model }),
      ...(typeof mode === 'string' && { mode }),
    }
  } catch {
    return {}
  }
}
export const rememberChoice = (choice: Choice) => write(choiceKey, JSON.stringify(choice))

/** An id for a chat: the browser chooses it. */
export function newChatId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
