import { ChevronDown } from 'lucide-react'
import { type ComponentProps, useId } from 'react'
import { cn } from '@/lib/cn'

type Option = { value: string; text: string; disabled?: boolean }
type Props = Omit<ComponentProps<'select'>, 'id'> & {
  label: string
  /** For a row of a list, whose own words say what it is. */
  hideLabel?: boolean
  note?: string
  options: Option[]
}

/** The browser's own select: it works with every keyboard and on every phone. */
export function Select({ label, hideLabel, note, options, className, ...props }: Props) {
  const id = useId()
  return (
    <div className="grid content-start gap-1.5">
      <label htmlFor={id} className={hideLabel ? 'sr-only' : 'text-[0.8125rem] font-medium'}>
        {label}
      </label>
      <span className="relative grid">
        <select
          id={id}
          aria-describedby={note && `${id}-note`}
          className={cn(
            'h-10 w-full cursor-pointer appearance-none truncate rounded-md border border-input bg-card pr-8 pl-3 text-base transition-colors enabled:hover:border-muted/60 disabled:cursor-default disabled:opacity-60 sm:text-sm',
            hideLabel && 'h-8 pl-2.5 sm:text-[0.8125rem]',
            className,
          )}
          {...props}
        >
          {options.map(({ value, text, disabled }) => (
            <option key={value} value={value} disabled={disabled}>
              {text}
            </option>
          ))}
        </select>
        <ChevronDown
          aria-hidden
          className="pointer-events-none absolute top-1/2 right-2.5 size-4 -translate-y-1/2 text-muted"
        />
      </span>
      {note && (
        <p id={`${id}-note`} className="text-[0.8125rem] text-muted">
          {note}
        </p>
      )}
    </div>
  )
}
