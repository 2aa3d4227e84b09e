import { Play, Square } from 'lucide-react'
import type { Workspace } from '@/api/types'
import { startWord, type Verb, verbsFor } from '@/lib/awake'
import { Button } from './ui/button'

/** `listed`: its name tells it apart from the buttons of others. */
type Props = { workspace: Workspace; listed?: boolean; busy: boolean; onDo: (verb: Verb) => void }

/** Start, or Wake, for a workspace that sleeps, else Stop. */
export function PowerButton({ workspace, listed, busy, onDo }: Props) {
  const verbs = verbsFor(workspace)
  const start = verbs.includes('start')
  const Icon = start ? Play : Square
  const word = start ? startWord(workspace.state) : 'Stop'
  return (
    <Button
      size="sm"
      disabled={busy || verbs.length === 0}
      onClick={() => onDo(start ? 'start' : 'stop')}
      aria-label={listed ? `${word} ${workspace.name}` : undefined}
    >
      <Icon aria-hidden className={start ? 'size-3.5! fill-current' : 'size-3! fill-current'} />
      <span className={listed ? undefined : 'max-sm:sr-only'}>{word}</span>
    </Button>
  )
}
