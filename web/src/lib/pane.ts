import type { State } from '@/api/types'

/**
 * What the workspace view shows; `visit` grows each time the frame has to be loaded afresh. `asleep`: the
 * frame is kept, with its unsaved text, under a page that says that the workspace is paused.
 */
export type Pane = { show: 'frame' | 'panel'; asleep: boolean; visit: number; state: State }

const down: State[] = ['stopping', 'stopped', 'deleting', 'error']

/**
 * Opening the view of a stopped workspace loads its address, which wakes it. One that stops while it
 * is open gets a panel instead, so that the frame neither wakes it again nor reconnects in vain. So it is
 * with one that is paused: opening its view wakes it, and one that falls asleep meanwhile says so.
 */
export function openPane(state: State): Pane {
  return {
    show: state !== 'stopped' && down.includes(state) ? 'panel' : 'frame',
    asleep: false,
    visit: 0,
    state,
  }
}

export function nextPane(pane: Pane, state: State): Pane {
  if (state === pane.state) return pane
  const asleep = state === 'paused'
  if (down.includes(state)) return { ...pane, show: 'panel', asleep: false, state }
  if (pane.show === 'panel') return { show: 'frame', asleep, visit: pane.visit + 1, state }
  return { ...pane, asleep, state }
}
