import { Button } from './ui/button'
import { CopyButton } from './ui/copy'

// The same function on each render, so that it takes the focus once, when the secret appears.
const focus = (element: HTMLElement | null) => element?.focus()

type Props = { title: string; note: string; secret: string; copy: string; onDone: () => void }

/** A secret that is shown once, in the page: a dialog would lose it on a slip of the hand. */
export function Secret({ title, note, secret, copy, onDone }: Props) {
  return (
    <section
      ref={focus}
      tabIndex={-1}
      aria-label={title}
      className="mb-6 grid gap-3 rounded-xl border border-primary/40 bg-primary/5 p-4 outline-none sm:p-5"
    >
      <div className="grid gap-1">
        <h2 className="font-medium">{title}</h2>
        <p className="text-[0.8125rem] text-soft">{note}</p>
      </div>
      <div className="flex items-center justify-between gap-2 rounded-md border border-input bg-background py-1 pr-1 pl-3.5">
        <code className="min-w-0 py-1 font-mono text-[0.8125rem] break-all select-all">{secret}</code>
        <CopyButton text={secret} label={copy} />
      </div>
      <Button size="sm" className="justify-self-start" onClick={onDone}>
        Done
      </Button>
    </section>
  )
}
