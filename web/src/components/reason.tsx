import type { Workspace } from '@/api/types'
import { cn } from '@/lib/cn'

/** Why a workspace is in its state: a line for people and, after a failure, the end of a log. */
export function Reason({ workspace }: { workspace: Workspace }) {
  const [line = '', ...rest] = workspace.reason.split('\n')
  const log = rest.join('\n').trim()
  const failed = workspace.state === 'error'
  return (
    <div
      className={cn(
        'mt-1.5 grid min-w-0 gap-2 border-l-2 pl-3 text-[0.8125rem]',
        failed ? 'border-destructive text-foreground' : 'border-input text-muted',
      )}
    >
      <p className="break-words first-letter:uppercase">{line}</p>
      {failed && log && (
        <section
          // biome-ignore lint/a11y/noNoninteractiveTabindex: a log is scrolled with the keyboard too
          tabIndex={0}
          aria-label={`Log of ${workspace.name}`}
          className="max-h-40 overflow-auto rounded-md bg-background p-2.5 font-mono text-xs break-words whitespace-pre-wrap text-soft"
        >
          {log}
        </section>
      )}
    </div>
  )
}
