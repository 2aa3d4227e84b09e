import { X } from 'lucide-react'
import type { ReactNode } from 'react'
import { Button } from './button'

// The same function on each render, so that it takes the focus once, when the panel appears.
const focus = (element: HTMLElement | null) => element?.focus()

type Props = { id: string; title: string; close: string; onClose: () => void; children: ReactNode }

/** What stands beside a pane, or over it on a phone. */
export function Panel({ id, title, close, onClose, children }: Props) {
  return (
    <aside
      id={id}
      aria-label={title}
      onKeyDown={(event) => event.key === 'Escape' && !event.defaultPrevented && onClose()}
      className="w-full shrink-0 bg-background max-md:absolute max-md:inset-0 max-md:z-20 md:relative md:w-88 md:border-l"
    >
      {/* Out of the flow, so that it scrolls and does not make the page longer. */}
      <div className="absolute inset-0 flex flex-col">
        <div className="flex h-12 shrink-0 items-center justify-between border-b pr-2 pl-4">
          <h2 ref={focus} tabIndex={-1} className="font-medium outline-none">
            {title}
          </h2>
          <Button variant="ghost" size="icon" aria-label={close} onClick={onClose}>
            <X aria-hidden />
          </Button>
        </div>
        <div className="grid min-h-0 content-start gap-4 overflow-y-auto p-4">{children}</div>
      </div>
    </aside>
  )
}

/** A part of a panel under a heading of its own. */
export function PanelPart({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section aria-label={title} className="grid gap-2.5 rounded-lg border bg-card p-3.5 text-[0.8125rem]">
      <h3 className="text-xs font-medium text-muted">{title}</h3>
      {children}
    </section>
  )
}
