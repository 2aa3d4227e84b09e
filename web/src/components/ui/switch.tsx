import { Switch as Radix } from 'radix-ui'
import { useId } from 'react'

type Props = {
  label: string
  note?: string
  checked: boolean
  disabled?: boolean
  onChange: (checked: boolean) => void
}

export function Switch({ label, note, checked, disabled, onChange }: Props) {
  const id = useId()
  return (
    <div className="flex items-start gap-3">
      <div className="grid min-w-0 flex-1">
        <label htmlFor={id} className="text-[0.8125rem]">
          {label}
        </label>
        {note && (
          <p id={`${id}-note`} className="text-xs text-muted">
            {note}
          </p>
        )}
      </div>
      <Radix.Root
        id={id}
        checked={checked}
        disabled={disabled}
        aria-describedby={note && `${id}-note`}
        onCheckedChange={onChange}
        className="inline-flex h-5 w-9 shrink-0 items-center rounded-full border border-input bg-background px-0.5 transition-colors disabled:opacity-50 data-[state=checked]:border-primary data-[state=checked]:bg-primary/20"
      >
        <Radix.Thumb className="size-3.5 rounded-full bg-muted transition-transform data-[state=checked]:translate-x-4 data-[state=checked]:bg-primary" />
      </Radix.Root>
    </div>
  )
}
