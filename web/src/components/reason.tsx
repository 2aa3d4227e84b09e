import type { Workspace } from '@/api/types'
import { cn } from '@/lib/cn'
import { Log } from './log'

/** Why a workspace is in its state: a line for people and, after a failure, the end of a log unless it is `brief`. */
export function Reason({ workspace, brief }: { workspace: Workspace; brief?: boolean }) {
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
      {failed && log && !brief && <Log label={`Log of ${workspace.name}`} text={log} />}
    </div>
  )
}
