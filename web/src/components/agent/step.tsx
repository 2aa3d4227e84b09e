import {
  Check,
  ChevronRight,
  CircleHelp,
  CirclePause,
  FileText,
  FolderTree,
  GitBranch,
  ListTodo,
  LoaderCircle,
  type LucideIcon,
  Pencil,
  Search,
  SquareTerminal,
  Users,
  Wrench,
  X,
} from 'lucide-react'
import { useEffect, useRef } from 'react'
import { cn } from '@/lib/cn'
import {
  type Detail,
  type StepState,
  stepDetails,
  stepDiff,
  stepState,
  stepTitle,
  type ToolPart,
  toolName,
} from '@/lib/steps'
import { plainOutput } from '@/lib/terminal'
import { Counts, DiffView } from './diff-view'
import { useLiveOutput } from './live-output'

const icons: Record<string, LucideIcon> = {
  readFile: FileText,
  writeFile: Pencil,
  editFile: Pencil,
  listFiles: FolderTree,
  glob: Search,
  searchCode: Search,
  runCommand: SquareTerminal,
  commandOutput: SquareTerminal,
  stopCommand: SquareTerminal,
  git: GitBranch,
  todo: ListTodo,
  ask: CircleHelp,
  task: Users,
}

const states: Record<StepState, { text: string; Icon: LucideIcon; className?: string }> = {
  preparing: { text: 'being prepared', Icon: LoaderCircle, className: 'animate-spin text-info' },
  running: { text: 'under way', Icon: LoaderCircle, className: 'animate-spin text-info' },
  asking: { text: 'waits for you', Icon: CircleHelp, className: 'text-warning' },
  done: { text: 'done', Icon: Check, className: 'text-muted' },
  failed: { text: 'failed', Icon: X, className: 'text-destructive' },
  denied: { text: 'not allowed', Icon: X, className: 'text-warning' },
  left: { text: 'not finished', Icon: CirclePause, className: 'text-muted' },
}

/** One thing that the agent did, in a line; what there is to see of it opens below. */
export function Step({ part, live }: { part: ToolPart; live: boolean }) {
  const printed = useLiveOutput(part.toolCallId)
  const state = stepState(part, live)
  const { text, Icon: StateIcon, className } = states[state]
  const name = toolName(part)
  const Icon = Object.hasOwn(icons, name) ? (icons[name] ?? Wrench) : Wrench
  const details = stepDetails(part, printed)
  const diff = stepDiff(part)
  const command = name === 'runCommand'
  const line = (
    <>
      <Icon aria-hidden className="size-4 shrink-0 text-muted" />
      <span className={cn('min-w-0 flex-1 truncate', command && 'font-mono text-xs')}>
        {stepTitle(part, state)}
      </span>
      {diff && <Counts text={diff} />}
      <StateIcon aria-hidden className={cn('size-3.5 shrink-0', className)} />
      <span className="sr-only">, {text}</span>
    </>
  )
  if (details.length === 0)
    return <div className="flex min-h-8 items-center gap-2 px-2.5 py-1 text-[0.8125rem]">{line}</div>
  // Output that comes in is worth seeing without a click.
  const open = state === 'running' && printed !== ''
  return (
    <details open={open} className="group/step">
      <summary className="flex min-h-8 cursor-pointer list-none items-center gap-2 rounded-lg px-2.5 py-1 text-[0.8125rem] -outline-offset-2 hover:bg-hover [&::-webkit-details-marker]:hidden">
        {line}
        <ChevronRight
          aria-hidden
          className="size-3.5 shrink-0 text-muted transition-transform group-open/step:rotate-90"
        />
      </summary>
      <Details details={details} title={stepTitle(part, state)} follow={state === 'running'} />
    </details>
  )
}

type DetailsProps = { details: Detail[]; title: string; follow?: boolean }

export function Details({ details, title, follow = false }: DetailsProps) {
  return (
    <div className="border-t bg-background">
      {details.map((detail, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: they come in a fixed order
        <DetailView key={index} detail={detail} title={title} follow={follow} />
      ))}
    </div>
  )
}

function DetailView({ detail, title, follow }: { detail: Detail; title: string; follow: boolean }) {
  switch (detail.kind) {
    case 'diff':
      return (
        <DiffView text={detail.text} label={`Changes in ${detail.path ?? 'files'}`} rough={detail.rough} />
      )
    case 'command':
      return (
        <p className="px-3 py-2 font-mono text-xs break-words whitespace-pre-wrap">
          <span aria-hidden className="mr-1.5 text-muted select-none">
            $
          </span>
          {detail.text}
        </p>
      )
    case 'output':
      return <Output text={detail.text} label={`Output of ${title}`} follow={follow} />
    case 'note':
      return <p className="px-3 py-1.5 text-xs break-words whitespace-pre-wrap text-muted">{detail.text}</p>
    case 'error':
      return (
        <p className="px-3 py-2 text-xs break-words whitespace-pre-wrap text-destructive">{detail.text}</p>
      )
  }
}

function Output({ text, label, follow }: { text: string; label: string; follow: boolean }) {
  const box = useRef<HTMLElement>(null)
  const plain = plainOutput(text)
  // biome-ignore lint/correctness/useExhaustiveDependencies: it is new text that is followed
  useEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight
  }, [follow, plain])
  return (
    <section
      ref={box}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: output is scrolled with the keyboard too
      tabIndex={0}
      aria-label={label}
      className="max-h-60 overflow-auto px-3 py-2 font-mono text-xs break-words whitespace-pre-wrap text-soft -outline-offset-2"
    >
      {plain}
    </section>
  )
}
