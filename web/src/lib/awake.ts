import type { Schedule, State, Workspace } from '@/api/types'
import { ago, clock } from './time'

const activities: Record<string, string> = {
  typing: 'typing',
  selection: 'text selected',
  save: 'a file saved',
  focus: 'VS Code in front',
  terminal: 'a terminal',
  preview: 'a preview',
  agent: 'the agent',
  'keep-alive': 'kalpana keep-alive',
  cpu: 'a busy processor',
  opened: 'opened',
  started: 'started',
}

/** An activity in words; one that a later version of the server adds, as it is. */
export function activityText(name: string): string {
  return Object.hasOwn(activities, name) ? (activities[name] ?? name) : name
}

type Sleeper = Pick<Workspace, 'state' | 'awake' | 'keepAwakeUntil' | 'schedule'>

/** Whether it holds a container's memory, running or paused, or is on the way there. */
export const isUp = (state: State) => ['starting', 'running', 'pausing', 'paused'].includes(state)

/** Until when somebody asked that it stays awake, if that is still to come. */
export function keptUntil({ keepAwakeUntil }: Pick<Workspace, 'keepAwakeUntil'>, now: number) {
  return keepAwakeUntil && Date.parse(keepAwakeUntil) > now ? keepAwakeUntil : undefined
}

/** When a workspace will sleep, or why it does not: "Sleeps at 14:20 unless used". */
export function sleepText(workspace: Sleeper, now: number): string | undefined {
  const { state, awake } = workspace
  if (!awake || (state !== 'running' && state !== 'paused')) return undefined
  const { sleepsAt, next, reason } = awake
  const kept = keptUntil(workspace, now)
  if (sleepsAt && !(kept && Date.parse(sleepsAt) <= Date.parse(kept))) {
    if (next === 'stopped' && isScheduled(sleepsAt, workspace.schedule))
      return `Stops at ${clock(sleepsAt, now)} by its schedule`
    const verb = next === 'stopped' ? 'Stops' : 'Sleeps'
    return Date.parse(sleepsAt) <= now
      ? `${verb} in a moment unless used`
      : `${verb} at ${clock(sleepsAt, now)} unless used`
  }
  if (kept) return `Kept awake until ${clock(kept, now)}`
  if (state === 'paused') return 'Stays paused until it is used'
  return reason ? `Kept awake by ${activityText(reason)}` : 'Does not sleep by itself'
}

/** Whether the clock of a schedule stops a workspace at that time, used or not. */
function isScheduled(time: string, schedule: Schedule | undefined): boolean {
  if (!schedule?.stopAt) return false
  const zone = {
    timeZone: schedule.zone || 'UTC',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  } as const
  try {
    return new Intl.DateTimeFormat('en', zone).format(new Date(time)) === schedule.stopAt
  } catch {
    return false // a zone that this browser does not know
  }
}

/** What used it last: "last: typing 3 minutes ago". */
export function lastText(workspace: Sleeper, now: number): string | undefined {
  const { state, awake } = workspace
  if (state !== 'running' || !awake?.reason) return undefined
  if (awake.reason === 'keep-alive')
    return keptUntil(workspace, now) ? undefined : `kept awake by ${activityText(awake.reason)}`
  const { reason, since } = awake
  return since ? `last: ${activityText(reason)} ${ago(since, now)}` : `last: ${activityText(reason)}`
}

export type Verb = 'start' | 'stop' | 'pause' | 'restart' | 'rebuild'

const done: Record<Verb, string> = {
  start: 'started',
  stop: 'stopped',
  pause: 'paused',
  restart: 'restarted',
  rebuild: 'rebuilt',
}

export const notDone = (name: string, verb: Verb) => `${name} was not ${done[verb]}`

const shows: Record<Verb, State[]> = {
  start: ['starting', 'running'],
  restart: ['stopping', 'starting'],
  rebuild: ['stopping', 'starting'],
  stop: ['stopping', 'stopped'],
  pause: ['pausing', 'paused'],
}

/** A call whose answer was lost may have worked all the same; the state tells. */
export const showsEffect = (verb: Verb, state: State) => shows[verb].includes(state)

/** What can be done to a workspace as it is. */
export function verbsFor({ state, queue }: Pick<Workspace, 'state' | 'queue'>): Verb[] {
  if (queue) return ['stop']
  switch (state) {
    case 'running':
      return ['pause', 'stop', 'restart', 'rebuild']
    case 'paused':
      return ['start', 'stop', 'restart', 'rebuild']
    case 'starting':
    case 'pausing':
      return ['stop']
    case 'stopped':
      return ['start', 'rebuild']
    case 'error':
      return ['start', 'rebuild', 'stop']
    default:
      return []
  }
}

/** What `start` is called in a state. */
export function startWord(state: State): string {
  if (state === 'paused') return 'Wake'
  return state === 'error' ? 'Start again' : 'Start'
}
