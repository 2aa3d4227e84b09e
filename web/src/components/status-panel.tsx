import { CalendarClock, Hammer, Pause, Play, RotateCw, Square } from 'lucide-react'
import { type ReactNode, useState } from 'react'
import { useDo } from '@/api/queries'
import type { Workspace } from '@/api/types'
import { isUp, notDone, showsEffect, startWord, type Verb, verbsFor } from '@/lib/awake'
import { bytesText } from '@/lib/bytes'
import { useNow } from '@/lib/hooks'
import { scheduleText } from '@/lib/schedule'
import { liveStage, startLength } from '@/lib/stages'
import { Disk } from './disk'
import { KeepAwake } from './keep-awake'
import { ProblemNotice } from './problem-notice'
import { Reason } from './reason'
import { ScheduleDialog } from './schedule-dialog'
import { SleepLine } from './sleep-line'
import { inProgress, Progress, Stages } from './stages'
import { StatePill } from './state-pill'
import { TimeAgo, TimeAt } from './time-ago'
import { Button } from './ui/button'
import { Panel, PanelPart } from './ui/panel'
import { RebuildDialog } from './workspace-dialogs'

type Props = { id: string; workspace: Workspace; onClose: () => void }

/** Everything about a workspace's sleep: its state, its last start, what it uses, its schedule. */
export function StatusPanel({ id, workspace, onClose }: Props) {
  const { state, stateSince, reason } = workspace
  const awake = state === 'running' || state === 'paused'
  return (
    <Panel id={id} title="Status" close="Close the status" onClose={onClose}>
      <PanelPart title="State">
        <p className="flex flex-wrap items-center gap-2">
          <StatePill state={state} />
          {stateSince && (
            <span className="text-muted">
              since <TimeAt time={stateSince} />
            </span>
          )}
        </p>
        {inProgress(workspace) && (
          <p>
            <Progress workspace={workspace} />
          </p>
        )}
        {awake && (
          <p>
            <SleepLine workspace={workspace} />
          </p>
        )}
        {reason && <Reason workspace={workspace} brief />}
        <Actions workspace={workspace} />
      </PanelPart>
      {isUp(state) && (
        <PanelPart title="Keep awake">
          <KeepAwake workspace={workspace} />
        </PanelPart>
      )}
      <LastStart workspace={workspace} />
      <PanelPart title="Use">
        <Use workspace={workspace} />
      </PanelPart>
      {state !== 'deleting' && <SchedulePart workspace={workspace} />}
    </Panel>
  )
}

const icons: Record<Verb, typeof Play> = {
  start: Play,
  stop: Square,
  pause: Pause,
  restart: RotateCw,
  rebuild: Hammer,
}

const words: Record<Verb, string> = {
  start: 'Start',
  stop: 'Stop',
  pause: 'Pause',
  restart: 'Restart',
  rebuild: 'Rebuild…',
}

function Actions({ workspace }: { workspace: Workspace }) {
  const { id, name, state } = workspace
  const act = useDo(id)
  const [asking, setAsking] = useState(false)
  const verbs = verbsFor(workspace)
  if (verbs.length === 0) return null
  return (
    <>
      <div className="flex flex-wrap gap-2">
        {verbs.map((verb) => {
          const Icon = icons[verb]
          return (
            <Button
              key={verb}
              size="sm"
              disabled={act.isPending}
              onClick={() => (verb === 'rebuild' ? setAsking(true) : act.mutate(verb))}
            >
              <Icon aria-hidden className="size-3.5! text-muted" />
              {verb === 'start' ? startWord(state) : words[verb]}
            </Button>
          )
        })}
      </div>
      {act.error && !showsEffect(act.variables, state) && (
        <ProblemNotice error={act.error} title={notDone(name, act.variables)} />
      )}
      {asking && <RebuildDialog workspace={workspace} onClose={() => setAsking(false)} />}
    </>
  )
}

function LastStart({ workspace }: { workspace: Workspace }) {
  const { start, state } = workspace
  const now = useNow()
  const live = liveStage(start)
  if (!start || start.stages.length === 0) return null
  return (
    <PanelPart title={live ? 'Start' : 'Last start'}>
      <p className="text-muted">
        <TimeAgo time={start.at} />
        {start.from && `, from ${start.from}`}
        {!live && `, took ${startLength(start, now)}`}
      </p>
      <Stages workspace={workspace} />
      {start.error && state !== 'error' && (
        <p className="break-words text-soft">{start.error.split('\n')[0]}</p>
      )}
    </PanelPart>
  )
}

function Use({ workspace }: { workspace: Workspace }) {
  const { cpus, memory, pids } = workspace.limits
  return (
    <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-2">
      <Term name="Disk">
        <Disk workspace={workspace} />
      </Term>
      <Term name="Processors">{cpus > 0 ? `${cpus}` : 'no limit'}</Term>
      <Term name="Memory">{memory > 0 ? bytesText(memory) : 'no limit'}</Term>
      <Term name="Processes">{pids > 0 ? `${pids}` : 'no limit'}</Term>
    </dl>
  )
}

function Term({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-muted">{name}</dt>
      <dd className="min-w-0">{children}</dd>
    </>
  )
}

function SchedulePart({ workspace }: { workspace: Workspace }) {
  const [editing, setEditing] = useState(false)
  const { schedule } = workspace
  return (
    <PanelPart title="Schedule">
      <p className={schedule ? undefined : 'text-muted'}>
        {schedule ? scheduleText(schedule) : 'It is neither stopped nor woken by the clock.'}
      </p>
      <Button size="sm" className="justify-self-start" onClick={() => setEditing(true)}>
        <CalendarClock aria-hidden className="size-3.5! text-muted" />
        {schedule ? 'Change the schedule' : 'Set a schedule'}
      </Button>
      {editing && <ScheduleDialog workspace={workspace} onClose={() => setEditing(false)} />}
    </PanelPart>
  )
}
