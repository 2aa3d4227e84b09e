import { ShieldQuestion } from 'lucide-react'
import { type FormEvent, useId, useState } from 'react'
import type { Rule } from '@/api/agent'
import { grantText } from '@/lib/approvals'
import { stepDetails, stepTitle, type ToolPart } from '@/lib/steps'
import { Button } from '../ui/button'
import { Details } from './step'

export type Answer = { approved: boolean; reason?: string }

/** In an approval's reason: this, and such calls from now on. */
export const always = 'always'

type Props = { part: ToolPart; grants: Rule[]; disabled: boolean; onAnswer: (answer: Answer) => void }

/** Asks whether the agent may do something. */
export function Approval({ part, grants, disabled, onAnswer }: Props) {
  const id = useId()
  const [denying, setDenying] = useState(false)
  const [reason, setReason] = useState('')
  const title = stepTitle(part, 'asking')
  const grant = grantText(grants)
  const why = part.approval?.requestReason
  const deny = (event: FormEvent) => {
    event.preventDefault()
    onAnswer({ approved: false, ...(reason.trim() && { reason: reason.trim() }) })
  }

  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset's legend cannot be laid out as this
    <div
      role="group"
      aria-labelledby={id}
      data-waits
      tabIndex={-1}
      className="overflow-hidden rounded-lg border border-warning/50 bg-card"
    >
      <div className="grid gap-1 px-3 py-2.5">
        <p id={id} className="flex items-start gap-2 font-medium">
          <ShieldQuestion aria-hidden className="mt-0.5 size-4 shrink-0 text-warning" />
          <span className="min-w-0 break-words">
            <span className="sr-only">The agent asks: </span>
            {title}?
          </span>
        </p>
        {why && <p className="text-[0.8125rem] break-words text-soft">{why}</p>}
      </div>
      <Details details={stepDetails(part)} title={title} />
      {denying ? (
        <form onSubmit={deny} className="grid gap-2.5 border-t px-3 py-2.5">
          <label htmlFor={`${id}-why`} className="text-[0.8125rem]">
            What should it do instead? (optional)
          </label>
          <input
            id={`${id}-why`}
            // biome-ignore lint/a11y/noAutofocus: it appears where the button that asked for it was
            autoFocus
            maxLength={1000}
            autoComplete="off"
            value={reason}
            onChange={(event) => setReason(event.target.value)}
            className="h-9 w-full min-w-0 rounded-md border border-input bg-background px-2.5 text-base sm:text-sm"
          />
          <div className="flex flex-wrap gap-2">
            <Button type="submit" size="sm" disabled={disabled}>
              Deny
            </Button>
            <Button size="sm" variant="ghost" onClick={() => setDenying(false)}>
              Back
            </Button>
          </div>
        </form>
      ) : (
        <div className="flex flex-wrap gap-2 border-t px-3 py-2.5">
          <Button
            size="sm"
            variant="primary"
            disabled={disabled}
            onClick={() => onAnswer({ approved: true })}
          >
            Allow once
          </Button>
          <Button size="sm" disabled={disabled} onClick={() => setDenying(true)}>
            Deny…
          </Button>
          {grant && (
            <div className="grid basis-full gap-1.5">
              <Button
                size="sm"
                disabled={disabled}
                aria-describedby={`${id}-grant`}
                className="justify-self-start"
                onClick={() => onAnswer({ approved: true, reason: always })}
              >
                Always in this chat
              </Button>
              <p id={`${id}-grant`} className="text-xs break-words text-muted">
                Always allows {grant}, until the chat is deleted.
              </p>
            </div>
          )}
        </div>
      )}
    </div>
  )
}
