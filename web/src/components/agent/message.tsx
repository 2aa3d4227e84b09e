import { Brain, ChevronRight } from 'lucide-react'
import { memo, type ReactNode, useMemo } from 'react'
import type { AgentMessage, Model, Rule, Turn } from '@/api/agent'
import { dollars, tokensText } from '@/lib/money'
import { isToolPart, type MessagePart, type ToolPart, toolName } from '@/lib/steps'
import { lengthText } from '@/lib/time'
import { Dot } from '../ui/list'
import { type Answer, Approval } from './approval'
import { Changes } from './changes'
import { Markdown } from './markdown'
import { Question } from './question'
import { Step } from './step'

export type Answers = {
  approve: (part: ToolPart, answer: Answer) => void
  answer: (part: ToolPart, text: string) => void
  /** What "always" would allow. */
  grants: (part: ToolPart) => Rule[]
}

type Props = {
  message: AgentMessage
  chat: string
  /** The agent is at work on it. */
  live: boolean
  /** It is the last one, so that what it asks can be answered. */
  last: boolean
  models: Model[]
  turn: Turn | undefined
  answers: Answers
}

export const Message = memo(function Message({ message, ...rest }: Props) {
  if (message.role === 'user') return <Said parts={message.parts} />
  return <Turned message={message} {...rest} />
})

/** What the person wrote. */
function Said({ parts }: { parts: { type: string; text?: string }[] }) {
  const text = parts.flatMap((part) => (part.type === 'text' && part.text ? [part.text] : [])).join('\n\n')
  return (
    <article
      aria-label="You"
      className="ml-8 justify-self-end rounded-xl rounded-br-sm border bg-hover px-3 py-2"
    >
      <p className="break-words whitespace-pre-wrap">{text}</p>
    </article>
  )
}

function Turned({ message, chat, live, last, models, turn, answers }: Props) {
  const blocks = useMemo(() => blocksOf(message.parts), [message.parts])
  return (
    <article aria-label="Agent" className="grid min-w-0 grid-cols-1 gap-2.5">
      {blocks.map(({ key, steps, part }) => {
        if (steps)
          return (
            <ul key={key} className="divide-y overflow-hidden rounded-lg border bg-card">
              {steps.map((step) => (
                <li key={step.toolCallId}>
                  <Step part={step} live={live} />
                </li>
              ))}
            </ul>
          )
        return part && <Block key={key} part={part} live={live} last={last} answers={answers} />
      })}
      {turn?.files && turn.files.length > 0 && <Changes chat={chat} turn={turn} disabled={live} />}
      {!live && <Foot message={message} models={models} />}
    </article>
  )
}

type Block = { key: string; steps?: ToolPart[]; part?: MessagePart }

/** Steps that follow one another stand in one list; what asks something stands alone. */
function blocksOf(parts: MessagePart[]): Block[] {
  const blocks: Block[] = []
  parts.forEach((part, index) => {
    if (part.type === 'step-start') return
    if (!isToolPart(part) || asks(part)) {
      blocks.push({ key: `${index}`, part })
      return
    }
    const before = blocks.at(-1)
    if (before?.steps) before.steps.push(part)
    else blocks.push({ key: `${index}`, steps: [part] })
  })
  return blocks
}

const asks = (part: ToolPart) => toolName(part) === 'ask' || part.state === 'approval-requested'

type BlockProps = { part: MessagePart; live: boolean; last: boolean; answers: Answers }

function Block({ part, live, last, answers }: BlockProps) {
  if (isToolPart(part)) {
    if (toolName(part) === 'ask')
      return (
        <Question
          part={part}
          asking={last && part.state === 'input-available'}
          disabled={live}
          onAnswer={(text) => answers.answer(part, text)}
        />
      )
    if (last)
      return (
        <Approval
          part={part}
          grants={answers.grants(part)}
          disabled={live}
          onAnswer={(answer) => answers.approve(part, answer)}
        />
      )
    return (
      <div className="rounded-lg border bg-card">
        <Step part={part} live={false} />
      </div>
    )
  }
  switch (part.type) {
    case 'text':
      return part.text.trim() ? (
        <Markdown text={part.text} streaming={live && part.state === 'streaming'} />
      ) : null
    case 'reasoning':
      return part.text.trim() ? (
        <Reasoning text={part.text} live={live && part.state === 'streaming'} />
      ) : null
    case 'steering-message':
      return <Said parts={part.parts} />
    default:
      return null
  }
}

function Reasoning({ text, live }: { text: string; live: boolean }) {
  return (
    <details className="group/thought text-[0.8125rem] text-muted">
      <summary className="inline-flex cursor-pointer list-none items-center gap-1.5 rounded-sm hover:text-foreground [&::-webkit-details-marker]:hidden">
        <Brain aria-hidden className={live ? 'size-3.5 animate-breathe' : 'size-3.5'} />
        {live ? 'Thinking …' : 'Thoughts'}
        <ChevronRight aria-hidden className="size-3.5 transition-transform group-open/thought:rotate-90" />
      </summary>
      <p className="mt-1.5 border-l-2 pl-3 break-words whitespace-pre-wrap">{text.trim()}</p>
    </details>
  )
}

/** Which model answered, how long it took, and what it cost. */
function Foot({ message: { metadata }, models }: { message: AgentMessage; models: Model[] }) {
  if (!metadata) return null
  const { model, usage, cost, durationMs } = metadata
  const facts: ReactNode[] = []
  if (model) facts.push(models.find(({ id }) => id === model)?.name ?? model)
  if (durationMs) facts.push(lengthText(durationMs / 1000))
  if (usage) facts.push(tokensText(usage.input + usage.output))
  if (cost !== undefined && cost > 0) facts.push(dollars(cost))
  if (facts.length === 0) return null
  return (
    <p className="text-xs break-words text-muted">
      {facts.map((fact, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: they come in a fixed order
        <span key={index}>
          {index > 0 && <Dot />}
          {fact}
        </span>
      ))}
    </p>
  )
}
