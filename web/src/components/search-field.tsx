import { Search } from 'lucide-react'

type Props = { label: string; placeholder: string; value: string; onChange: (value: string) => void }

/** From so many entries on a list has one. */
export const searchFrom = 8

/** A field that narrows the list below it while one types. */
export function SearchField({ label, placeholder, value, onChange }: Props) {
  return (
    <search className="relative mb-3 grid">
      <Search
        aria-hidden
        className="pointer-events-none absolute top-1/2 left-3 size-4 -translate-y-1/2 text-muted"
      />
      <input
        type="search"
        aria-label={label}
        placeholder={placeholder}
        value={value}
        maxLength={100}
        autoComplete="off"
        spellCheck={false}
        onChange={(event) => onChange(event.target.value)}
        className="h-10 w-full rounded-md border border-input bg-card pr-3 pl-9 text-base transition-colors placeholder:text-muted/80 hover:border-muted/60 sm:text-sm"
      />
    </search>
  )
}
