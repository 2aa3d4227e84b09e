import type { Workspace } from '@/api/types'
import { type DiskUse, diskUse } from '@/lib/bytes'
import { cn } from '@/lib/cn'

/** How full the disk is, with a warning from 80 % on. */
export function Disk({ workspace }: { workspace: Workspace }) {
  const use = diskUse(workspace.diskUsed, workspace.limits.disk)
  if (!use) return <p className="text-muted">not measured yet</p>
  return (
    <div className="grid gap-1.5">
      <p className={cn(use.warn && (use.full ? 'text-destructive' : 'text-warning'))}>{use.text}</p>
      {use.share !== undefined && <Meter share={use.share} use={use} />}
      {use.warn && <p className="text-xs text-soft">{advice(use.full)}</p>}
    </div>
  )
}

function Meter({ share, use }: { share: number; use: DiskUse }) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: browsers do not let the parts of their meter be styled alike
    <div
      role="meter"
      aria-label="Disk used"
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.floor(share * 100)}
      className="h-1 overflow-hidden rounded-full bg-input"
    >
      <div
        style={{ width: `${share * 100}%` }}
        className={cn(
          'h-full rounded-full',
          use.full ? 'bg-destructive' : use.warn ? 'bg-warning' : 'bg-primary',
        )}
      />
    </div>
  )
}

const advice = (full: boolean) =>
  full
    ? 'It is full: writing fails, or the workspace was stopped. Delete what you no longer need, or ask an admin for more room.'
    : 'When it is full, writing fails, or the workspace is stopped. Delete what you no longer need.'

/** A line about a disk that is nearly full; nothing else. */
export function DiskWarning({ workspace }: { workspace: Workspace }) {
  const use = diskUse(workspace.diskUsed, workspace.limits.disk)
  if (!use?.warn) return null
  return (
    <p className={cn('text-[0.8125rem]', use.full ? 'text-destructive' : 'text-warning')}>
      Disk {use.full ? 'full' : 'nearly full'}: {use.text}
    </p>
  )
}
