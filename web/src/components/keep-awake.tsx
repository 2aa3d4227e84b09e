import { useKeepAwake } from '@/api/queries'
import type { Workspace } from '@/api/types'
import { keptUntil } from '@/lib/awake'
import { useNow } from '@/lib/hooks'
import { clock } from '@/lib/time'
import { ProblemNotice } from './problem-notice'
import { Button } from './ui/button'
import { Dialog, DialogActions, DialogClose } from './ui/dialog'

const choices = [1, 2, 8]

/** Keeps a workspace awake for some hours, and ends that. */
export function KeepAwake({ workspace }: { workspace: Workspace }) {
  const keep = useKeepAwake(workspace.id)
  const now = useNow()
  const kept = keptUntil(workspace, now)
  return (
    <div className="grid gap-2.5">
      {kept && (
        <p role="status" className="text-[0.8125rem]">
          It does not sleep before {clock(kept, now)}.
        </p>
      )}
      <div className="flex flex-wrap gap-2">
        {choices.map((hours) => (
          <Button key={hours} size="sm" disabled={keep.isPending} onClick={() => keep.mutate(hours)}>
            <span className="sr-only">Keep awake for </span>
            {hours} h
          </Button>
        ))}
        {kept && (
          <Button size="sm" variant="ghost" disabled={keep.isPending} onClick={() => keep.mutate(0)}>
            Let it sleep
          </Button>
        )}
      </div>
      {keep.error && <ProblemNotice error={keep.error} title="It was not changed" />}
    </div>
  )
}

export function KeepAwakeDialog({ workspace, onClose }: { workspace: Workspace; onClose: () => void }) {
  return (
    <Dialog
      open
      onOpenChange={onClose}
      title={`Keep ${workspace.name} awake`}
      description="For so long from now on it does not sleep by itself, used or not."
    >
      <KeepAwake workspace={workspace} />
      <DialogActions>
        <DialogClose asChild>
          <Button variant="ghost">Done</Button>
        </DialogClose>
      </DialogActions>
    </Dialog>
  )
}
