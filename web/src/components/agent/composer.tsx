import { ArrowUp, ListChecks, Square } from 'lucide-react'
import { type KeyboardEvent, type Ref, useState } from 'react'
import type { Mode, Model } from '@/api/agent'
import { modelText, modeNote, modes } from '@/lib/choices'
import { Button } from '../ui/button'
import { Select } from '../ui/select'

export type Settings = { model: string; mode: Mode; plan: boolean }

type Props = {
  ref: Ref<HTMLTextAreaElement>
  /** What was written and not sent, of this chat. */
  draft: string
  onDraft: (text: string) => void
  placeholder: string
  models: Model[]
  settings: Settings
  onSettings: (settings: Settings) => void
  working: boolean
  stopping: boolean
  onSend: (text: string) => void
  onStop: () => void
}

/** Where a message is written, and how the agent is to go about it. */
export function Composer(props: Props) {
  const {
    ref,
    draft,
    onDraft,
    placeholder,
    models,
    settings,
    onSettings,
    working,
    stopping,
    onSend,
    onStop,
  } = props
  const [text, setText] = useState(draft)
  const change = (next: string) => {
    setText(next)
    onDraft(next)
  }
  const send = () => {
    const message = text.trim()
    if (!message) return
    change('')
    onSend(message)
  }
  const onKeyDown = (event: KeyboardEvent) => {
    // Enter also ends the writing of a word in many languages, and on a phone it is the only way to a new line.
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
    if (matchMedia('(pointer: coarse)').matches) return
    event.preventDefault()
    send()
  }
  const { model, mode, plan } = settings
  const known = models.some(({ id }) => id === model)
  const note = plan ? 'It reads and makes a plan. It changes nothing.' : modeNote(mode)

  return (
    <form
      aria-label="Message to the agent"
      onSubmit={(event) => {
        event.preventDefault()
        send()
      }}
      className="grid gap-2"
    >
      <div className="rounded-xl border border-input bg-card focus-within:border-muted/60">
        <textarea
          ref={ref}
          aria-label="Message"
          aria-describedby="agent-keys"
          rows={2}
          maxLength={100_000}
          placeholder={placeholder}
          value={text}
          onChange={(event) => change(event.target.value)}
          onKeyDown={onKeyDown}
          className="block field-sizing-content max-h-60 min-h-15 w-full resize-none rounded-xl bg-transparent px-3 pt-2.5 text-base outline-none placeholder:text-muted/90 sm:text-sm"
        />
        <div className="flex items-center gap-1.5 p-1.5">
          <div className="min-w-0 flex-1">
            <Select
              label="Model"
              hideLabel
              title="Model"
              className="border-transparent bg-transparent pr-7 pl-1.5"
              options={[
                ...(known ? [] : [{ value: model, text: model || 'No model' }]),
                ...models.map((one) => ({ value: one.id, text: modelText(one) })),
              ]}
              value={model}
              onChange={(event) => onSettings({ ...settings, model: event.target.value })}
            />
          </div>
          <div className="min-w-0 flex-1">
            <Select
              label="What it asks for"
              hideLabel
              title="What it asks for"
              className="border-transparent bg-transparent pr-7 pl-1.5"
              options={modes}
              value={mode}
              disabled={plan}
              onChange={(event) => {
                const chosen = modes.find(({ value }) => value === event.target.value)
                if (chosen) onSettings({ ...settings, mode: chosen.value })
              }}
            />
          </div>
          <Button
            variant="ghost"
            size="sm"
            aria-pressed={plan}
            title="Make a plan first"
            className="px-2 aria-pressed:bg-primary/15 aria-pressed:text-primary"
            onClick={() => onSettings({ ...settings, plan: !plan })}
          >
            <ListChecks aria-hidden />
            <span className="max-sm:sr-only">Plan</span>
          </Button>
          {working && (
            <Button
              size="icon"
              aria-label="Stop the agent"
              title="Stop the agent"
              disabled={stopping}
              onClick={onStop}
            >
              <Square aria-hidden className="size-3! fill-current" />
            </Button>
          )}
          {(!working || text.trim() !== '') && (
            <Button
              type="submit"
              size="icon"
              variant="primary"
              aria-label={working ? 'Send, to be read at its next step' : 'Send'}
              title={working ? 'It reads this at its next step' : 'Send'}
              disabled={!text.trim()}
            >
              <ArrowUp aria-hidden />
            </Button>
          )}
        </div>
      </div>
      <p id="agent-keys" className="sr-only">
        Enter sends, Shift and Enter begin a new line.
      </p>
      {note && <p className={plan ? 'text-xs text-muted' : 'text-xs text-warning'}>{note}</p>}
    </form>
  )
}
