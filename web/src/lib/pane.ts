import type { State } from '@/api/types'

/** What the workspace view shows; `visit` grows each time the frame has to be loaded afresh. */
export type Pane = { show: 'frame' | 'panel'; visit: number; state: State }

const down: State[] = ['stopping', 'stopped', 'deleting', 'error']

/**
 * Opening the view of a stopped workspace loads its address, which wakes it. One that stops while it
 * is open gets a panel instead, so that the frame neither wakes it again nor reconnects in vain.
 */
export function openPane(state: State): Pane {
  return { show: state !== 'stopped' && down.includes(state) ? 'panel' : 'frame', visit: 0, state }
}

export function nextPane(pane: Pane, state: State): Pane {
  if (state === pane.state) return pane
  if (down.includes(state)) return { ...pane, show: 'panel', state }
  if (pane.show === 'panel') return { show: 'frame', visit: pane.visit + 1, state }
  return { ...pane, state }
}
