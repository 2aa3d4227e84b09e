import type { Chat, Mode, Model, Models, Span, Spans } from '@/api/agent'
import type { Choice } from './agent-view'
import { dollars, tokensText } from './money'

export const modes: { value: Mode; text: string }[] = [
  { value: 'ask-all', text: 'Ask for everything' },
  { value: 'ask-writes', text: 'Ask for changes' },
  { value: 'ask-none', text: 'Ask for nothing' },
]

/** What is dangerous about a mode. */
export function modeNote(mode: Mode): string | undefined {
  return mode === 'ask-none'
    ? 'It changes files and runs commands without asking. What it reads may try to mislead it.'
    : undefined
}

const price = (amount: number) => `$${Number(amount.toPrecision(3))}`

/** "Sonnet 4.5 · $3 in, $15 out": prices for a million tokens. */
export function modelText({ id, name, inputPrice, outputPrice }: Model): string {
  const title = name || id
  return inputPrice > 0 || outputPrice > 0
    ? `${title} · ${price(inputPrice)} in, ${price(outputPrice)} out`
    : title
}

const asMode = (mode: unknown): Mode | undefined => modes.find(({ value }) => value === mode)?.value

/** What a chat begins with: its own settings, else those chosen last, else the installation's. */
export function settingsOf(chat: Chat | undefined, last: Choice, models: Models) {
  const offered = (id: string | undefined) => models.models.find((one) => one.id === id)?.id
  return {
    model:
      offered(chat?.model) ??
      offered(last.model) ??
      offered(models.default) ??
      models.models[0]?.id ??
      models.default,
    mode: asMode(chat?.mode) ?? asMode(last.mode) ?? asMode(models.mode) ?? 'ask-writes',
    plan: chat?.plan ?? false,
  }
}

/** What is left of the bound that is reached first: "$1.20 left today"; undefined where there is none. */
export function leftText(person: Spans | undefined, workspace?: Spans): string | undefined {
  const bounds: { share: number; text: string }[] = []
  const add = (span: Span | undefined, when: string) => {
    if (!span) return
    const { cost, tokens, limitCost = 0, limitTokens = 0 } = span
    if (limitCost > 0) {
      const left = Math.max(0, limitCost - cost)
      bounds.push({ share: left / limitCost, text: `${dollars(left)} left ${when}` })
    }
    if (limitTokens > 0) {
      const left = Math.max(0, limitTokens - tokens)
      bounds.push({ share: left / limitTokens, text: `${tokensText(left)} left ${when}` })
    }
  }
  for (const spans of [person, workspace]) {
    add(spans?.day, 'today')
    add(spans?.month, 'this month')
  }
  return bounds.sort((a, b) => a.share - b.share)[0]?.text
}
