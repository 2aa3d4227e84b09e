import { Play, Square } from 'lucide-react'
import type { State } from '@/api/types'
import { Button } from './ui/button'

/** `name` tells the buttons of a list apart. */
type Props = { state: State; name?: string; busy: boolean; onStart: () => void; onStop: () => void }

/** Start for a workspace that is down, else Stop. */
export function PowerButton({ state, name, busy, onStart, onStop }: Props) {
  if (state === 'stopped' || state === 'error') {
    return (
      <Button size="sm" disabled={busy} onClick={onStart} aria-label={name && `Start ${name}`}>
        <Play aria-hidden className="size-3.5! fill-current" />
        Start
      </Button>
    )
  }
  return (
    <Button
      size="sm"
      disabled={busy || state === 'stopping' || state === 'deleting'}
      onClick={onStop}
      aria-label={name && `Stop ${name}`}
    >
      <Square aria-hidden className="size-3! fill-current" />
      Stop
    </Button>
  )
}
