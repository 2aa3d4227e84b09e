import type { ReactNode } from 'react'
import { ProblemNotice } from './problem-notice'
import { Button } from './ui/button'
import { Dialog, DialogActions, DialogClose } from './ui/dialog'

type Props = {
  title: string
  description: ReactNode
  action: string
  busy: string
  cancel?: string
  /** What it says when it failed. */
  failed: string
  act: { isPending: boolean; error: unknown }
  onConfirm: () => void
  onClose: () => void
}

/** Asks before something that is not easily undone. */
export function Confirm(props: Props) {
  const { title, description, action, busy, cancel = 'Cancel', failed, act, onConfirm, onClose } = props
  return (
    <Dialog open alert onOpenChange={onClose} title={title} description={description}>
      {act.error ? <ProblemNotice error={act.error} title={failed} /> : null}
      <DialogActions>
        <DialogClose asChild>
          <Button variant="ghost">{cancel}</Button>
        </DialogClose>
        <Button variant="destructive" disabled={act.isPending} onClick={onConfirm}>
          {act.isPending ? busy : action}
        </Button>
      </DialogActions>
    </Dialog>
  )
}
