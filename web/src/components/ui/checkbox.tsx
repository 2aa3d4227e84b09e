import { type ReactNode, useId } from 'react'

type Props = { label: ReactNode; note?: string; checked: boolean; onChange: (checked: boolean) => void }

export function Checkbox({ label, note, checked, onChange }: Props) {
  const id = useId()
  return (
    <div className="grid grid-cols-[auto_1fr] gap-x-2.5">
      <input
        id={id}
        type="checkbox"
        checked={checked}
        aria-describedby={note && `${id}-note`}
        onChange={(event) => onChange(event.target.checked)}
        className="mt-0.5 size-4 cursor-pointer accent-primary"
      />
      <label htmlFor={id}>{label}</label>
      {note && (
        <p id={`${id}-note`} className="col-start-2 text-[0.8125rem] text-muted">
          {note}
        </p>
      )}
    </div>
  )
}
