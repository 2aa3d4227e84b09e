import { useMemo } from 'react'
import { cn } from '@/lib/cn'
import { countsText, type DiffLine, parseDiff } from '@/lib/diff'

const signs: Record<DiffLine['kind'], string> = { added: '+', removed: '−', same: ' ', gap: '', file: '' }
const spoken: Partial<Record<DiffLine['kind'], string>> = { added: 'added: ', removed: 'removed: ' }

/** A diff in colours, with signs and numbers for whoever does not see them. */
export function DiffView({ text, label, rough = false }: { text: string; label: string; rough?: boolean }) {
  const { lines, cut } = useMemo(() => parseDiff(text), [text])
  if (lines.length === 0) return <p className="px-3 py-2 text-xs text-muted">Nothing changed in its text.</p>
  return (
    <section
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it is scrolled with the keyboard too
      tabIndex={0}
      aria-label={label}
      className="max-h-80 overflow-auto py-1.5 font-mono text-xs leading-5"
    >
      <div className="w-max min-w-full">
        {lines.map((line, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: lines of a diff stay where they are
          <Line key={index} line={line} rough={rough} />
        ))}
      </div>
      {cut && <p className="px-3 pt-1 font-sans text-muted">The rest is not shown.</p>}
    </section>
  )
}

function Line({ line: { kind, text, number }, rough }: { line: DiffLine; rough: boolean }) {
  if (kind === 'gap') return <div className="my-1 border-t border-dashed" />
  if (kind === 'file') return <div className="px-3 pt-1.5 pb-0.5 font-medium text-soft">{text}</div>
  return (
    <div
      className={cn(
        'flex pr-3 whitespace-pre',
        kind === 'added' && 'bg-primary/10 text-foreground',
        kind === 'removed' && 'bg-destructive/10 text-foreground',
        kind === 'same' && 'text-soft',
      )}
    >
      <span
        aria-hidden
        className={cn('shrink-0 pr-2 text-right text-muted select-none', rough ? 'w-3' : 'w-10')}
      >
        {!rough && number}
      </span>
      <span
        aria-hidden
        className={cn(
          'w-4 shrink-0 select-none',
          kind === 'added' ? 'text-primary' : kind === 'removed' ? 'text-destructive' : '',
        )}
      >
        {signs[kind]}
      </span>
      {spoken[kind] && <span className="sr-only">{spoken[kind]}</span>}
      <span>{text || ' '}</span>
    </div>
  )
}

/** "+12 −3" in colours. */
export function Counts({ text }: { text: string }) {
  const counts = useMemo(() => parseDiff(text, 0), [text])
  const { added, removed } = counts
  if (!countsText(counts)) return null
  return (
    <span className="shrink-0 font-mono text-xs">
      <span className="sr-only">
        {added} lines added, {removed} removed
      </span>
      <span aria-hidden className="flex gap-1.5">
        {added > 0 && <span className="text-primary">+{added}</span>}
        {removed > 0 && <span className="text-destructive">−{removed}</span>}
      </span>
    </span>
  )
}
