import type { Queue, Stage, Start } from '@/api/types'
import { lengthText } from './time'

const titles: Record<string, string> = {
  queued: 'Waiting for its turn',
  stop: 'Stopping it first',
  container: 'Preparing the container',
  start: 'Starting the container',
  editor: 'Starting VS Code',
}

export function stageTitle(name: string): string {
  return Object.hasOwn(titles, name) ? (titles[name] ?? name) : name
}

/** How long a stage took, or has lasted by now. */
export function stageLength({ at, took }: Stage, now: number): string {
  return lengthText(took ?? (now - Date.parse(at)) / 1000)
}

export const lasts = ({ took }: Stage) => took === undefined

/** The stage that is under way; undefined where the start is over. */
export function liveStage(start: Start | undefined): Stage | undefined {
  const last = start?.stages.at(-1)
  return last && lasts(last) ? last : undefined
}

/** "number 2 of 5 in the queue". */
export function queueText({ place, of }: Queue): string {
  if (place === 1) return of > 1 ? `next of ${of} in the queue` : 'next in the queue'
  return `number ${place} of ${of} in the queue`
}

/** The whole of a start: how long its stages took together. */
export function startLength({ stages }: Start, now: number): string {
  return lengthText(stages.reduce((sum, { at, took }) => sum + (took ?? (now - Date.parse(at)) / 1000), 0))
}
