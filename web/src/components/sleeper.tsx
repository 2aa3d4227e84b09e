import { cn } from '@/lib/cn'

const steps = [
  { text: 'GET /', note: 'the first hit', tone: 'text-foreground' },
  { text: 'stopped → starting', note: 'container', tone: 'text-info' },
  { text: 'starting → running', note: 'VS Code', tone: 'text-primary' },
  { text: '200 OK', note: 'same request', tone: 'text-primary' },
]

/** A still of what the product does: an address is opened and the workspace behind it wakes. */
export function Sleeper() {
  return (
    <figure className="overflow-hidden rounded-xl border border-input bg-card shadow-[0_0_90px_-30px] shadow-primary/30">
      <div className="flex items-center gap-3 border-b px-4 py-3">
        <span aria-hidden className="flex gap-1.5">
          {[0, 1, 2].map((dot) => (
            <span key={dot} className="size-2.5 rounded-full bg-input" />
          ))}
        </span>
        <span className="min-w-0 flex-1 truncate rounded-md bg-background px-3 py-1 font-mono text-xs text-muted">
          <span className="text-primary">k7m2q4xw9a</span>.ws.example.com
        </span>
      </div>
      <ol className="grid gap-3 px-4 py-5 font-mono text-xs sm:px-5 sm:text-[0.8125rem]">
        {steps.map((step) => (
          <li key={step.text} className="grid grid-cols-[1fr_auto] items-baseline gap-3">
            <span className={cn('truncate', step.tone)}>{step.text}</span>
            <span className="text-muted">{step.note}</span>
          </li>
        ))}
      </ol>
      <figcaption className="border-t px-4 py-3 text-[0.8125rem] text-balance text-muted sm:px-5">
        Open the address, and the workspace behind it wakes.
      </figcaption>
    </figure>
  )
}
