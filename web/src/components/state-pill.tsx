import type { State } from '@/api/types'
import { cn } from '@/lib/cn'

const looks: Record<State, { text: string; dot: string; label: string }> = {
  running: { label: 'Running', text: 'text-primary', dot: 'bg-primary' },
  starting: { label: 'Starting', text: 'text-primary', dot: 'bg-primary animate-breathe' },
  pausing: { label: 'Pausing', text: 'text-info', dot: 'bg-info animate-breathe' },
  paused: { label: 'Paused', text: 'text-info', dot: 'border border-info' },
  stopping: { label: 'Stopping', text: 'text-warning', dot: 'bg-warning animate-breathe' },
  deleting: { label: 'Deleting', text: 'text-destructive', dot: 'bg-destructive animate-breathe' },
  stopped: { label: 'Stopped', text: 'text-muted', dot: 'border border-muted' },
  error: { label: 'Error', text: 'text-destructive', dot: 'bg-destructive' },
}

type Props = { state: State; className?: string /** On a phone its colour has to do. */; compact?: boolean }

export function StatePill({ state, className, compact = false }: Props) {
  const look = looks[state]
  return (
    <span
      data-state={state}
      className={cn(
        'inline-flex h-6 shrink-0 items-center gap-1.5 rounded-full border border-current/25 bg-current/5 px-2 text-xs font-medium',
        look.text,
        className,
      )}
    >
      <span aria-hidden className={cn('size-1.5 rounded-full', look.dot)} />
      <span className={cn(compact && 'max-sm:sr-only')}>{look.label}</span>
    </span>
  )
}
