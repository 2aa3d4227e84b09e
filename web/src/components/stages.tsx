import { Check, CircleDashed, X } from 'lucide-react'
import type { Stage, Workspace } from '@/api/types'
import { cn } from '@/lib/cn'
import { useNow } from '@/lib/hooks'
import { lasts, liveStage, queueText, stageLength, stageTitle, startLength } from '@/lib/stages'
import { Log } from './log'

/** The stages of the newest start, live while it lasts. */
export function Stages({ workspace }: { workspace: Workspace }) {
  const { start } = workspace
  const now = useNow(liveStage(start) && 500)
  if (!start) return null
  return (
    <ol className="grid gap-2">
      {start.stages.map((stage, index) => (
        <StageItem
          // biome-ignore lint/suspicious/noArrayIndexKey: stages are added at the end, and one may come twice
          key={index}
          stage={stage}
          now={now}
          failed={Boolean(start.error) && index === start.stages.length - 1}
        />
      ))}
    </ol>
  )
}

function StageItem({ stage, now, failed }: { stage: Stage; now: number; failed: boolean }) {
  const { name, lines } = stage
  const live = lasts(stage)
  const Icon = failed ? X : live ? CircleDashed : Check
  return (
    <li className="grid grid-cols-[auto_1fr_auto] items-center gap-x-2 gap-y-1.5 text-[0.8125rem]">
      <Icon
        aria-hidden
        className={cn('size-3.5', failed ? 'text-destructive' : 'text-primary', live && 'animate-breathe')}
      />
      <span className={cn(!live && !failed && 'text-soft')}>
        {stageTitle(name)}
        {failed && <span className="sr-only"> failed</span>}
      </span>
      <span className="font-mono text-xs text-muted tabular-nums">{stageLength(stage, now)}</span>
      {lines && lines.length > 0 && (
        <details open={live || failed} className="col-span-2 col-start-2 grid gap-1.5">
          <summary className="w-fit cursor-pointer rounded-sm text-xs text-muted hover:text-foreground">
            {lines.length === 1 ? '1 line' : `${lines.length} lines`}
          </summary>
          <Log label={`Lines of: ${stageTitle(name)}`} text={lines.join('\n')} />
        </details>
      )}
    </li>
  )
}

/** How far a start is, in a line: its stage, or its place in the queue, and how long it has lasted. */
export function Progress({ workspace }: { workspace: Workspace }) {
  const { start, queue } = workspace
  const now = useNow(500)
  if (queue) return <>Waiting to start, {queueText(queue)}</>
  const stage = liveStage(start)
  if (!start || !stage) return null
  return (
    <>
      {stageTitle(stage.name)}
      <span className="font-mono text-xs tabular-nums"> {startLength(start, now)}</span>
    </>
  )
}

/** Whether Progress has something to tell. */
export const inProgress = ({ start, queue }: Workspace) => Boolean(queue || liveStage(start))
