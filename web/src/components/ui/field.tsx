import { Label } from 'radix-ui'
import { type ComponentProps, type ReactNode, useEffect, useId, useRef } from 'react'
import { cn } from '@/lib/cn'

type Props = Omit<ComponentProps<'input'>, 'id'> & { label: string; note?: ReactNode; error?: string }

/** A labelled text input with a note or an error below it. */
export function Field({ label, note, error, className, ...props }: Props) {
  const id = useId()
  const input = useRef<HTMLInputElement>(null)
  useEffect(() => {
    // The first of several faulty fields keeps the focus.
    if (error && !document.activeElement?.matches('input[aria-invalid]')) input.current?.focus()
  }, [error])
  const described = error || note ? `${id}-note` : undefined
  return (
    <div className="grid gap-1.5">
      <Label.Root htmlFor={id} className="text-[0.8125rem] font-medium">
        {label}
      </Label.Root>
      <input
        ref={input}
        id={id}
        aria-invalid={error ? true : undefined}
        aria-describedby={described}
        autoComplete="off"
        spellCheck={false}
        className={cn(
          'h-10 w-full rounded-md border border-input bg-card px-3 text-base transition-colors placeholder:text-muted/80 hover:border-muted/60 sm:text-sm',
          error && 'border-destructive',
          className,
        )}
        {...props}
      />
      {described && (
        <p
          id={described}
          role={error ? 'alert' : undefined}
          className={cn('text-[0.8125rem] break-words', error ? 'text-destructive' : 'text-muted')}
        >
          {error ?? note}
        </p>
      )}
    </div>
  )
}
