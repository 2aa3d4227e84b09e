import { CircleHelp } from 'lucide-react'
import { type FormEvent, useId, useState } from 'react'
import { answerOf, questionOf, type ToolPart } from '@/lib/steps'
import { Button } from '../ui/button'

type Props = { part: ToolPart; asking: boolean; disabled: boolean; onAnswer: (answer: string) => void }

/** Something that the agent wants to know, and what it was told. */
export function Question({ part, asking, disabled, onAnswer }: Props) {
  const id = useId()
  const [text, setText] = useState('')
  const [chosen, setChosen] = useState<string[]>([])
  const { text: question, options, several } = questionOf(part)
  const answer = answerOf(part)
  const whole = [...chosen, text.trim()].filter(Boolean).join(', ')
  const submit = (event: FormEvent) => {
    event.preventDefault()
    if (whole) onAnswer(whole)
  }
  const choose = (label: string) => {
    if (!several) return onAnswer(label)
    setChosen(chosen.includes(label) ? chosen.filter((one) => one !== label) : [...chosen, label])
  }

  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset's legend cannot be laid out as this
    <div
      role="group"
      aria-labelledby={id}
      data-waits={asking || undefined}
      tabIndex={-1}
      className="grid gap-2.5 rounded-lg border border-input bg-card px-3 py-2.5 data-waits:border-warning/50"
    >
      <p id={id} className="flex items-start gap-2 font-medium">
        <CircleHelp aria-hidden className="mt-0.5 size-4 shrink-0 text-muted" />
        <span className="min-w-0 break-words">
          <span className="sr-only">The agent asks: </span>
          {question || 'A question is on its way …'}
        </span>
      </p>
      {answer !== undefined && <p className="pl-6 break-words whitespace-pre-wrap text-soft">{answer}</p>}
      {answer === undefined && !asking && part.state === 'input-available' && (
        <p className="pl-6 text-[0.8125rem] text-muted">It was not answered.</p>
      )}
      {asking && (
        <form onSubmit={submit} className="grid gap-2.5">
          {options.length > 0 && (
            <ul className="grid gap-1.5">
              {options.map(({ label, note }) => (
                <li key={label}>
                  <button
                    type="button"
                    disabled={disabled}
                    aria-pressed={several ? chosen.includes(label) : undefined}
                    className="grid w-full rounded-md border border-input bg-background px-2.5 py-1.5 text-left text-[0.8125rem] break-words enabled:hover:bg-hover aria-pressed:border-primary"
                    onClick={() => choose(label)}
                  >
                    {label}
                    {note && <span className="text-xs text-muted">{note}</span>}
                  </button>
                </li>
              ))}
            </ul>
          )}
          <div className="flex gap-2">
            <input
              aria-label={options.length > 0 ? 'Another answer' : 'Your answer'}
              placeholder={options.length > 0 ? 'Another answer' : 'Your answer'}
              maxLength={4000}
              autoComplete="off"
              value={text}
              onChange={(event) => setText(event.target.value)}
              className="h-9 min-w-0 flex-1 rounded-md border border-input bg-background px-2.5 text-base placeholder:text-muted/80 sm:text-sm"
            />
            <Button type="submit" disabled={disabled || !whole}>
              Answer
            </Button>
          </div>
        </form>
      )}
    </div>
  )
}
