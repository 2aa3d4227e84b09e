import { Link } from '@tanstack/react-router'
import {
  ArrowRight,
  CalendarClock,
  Coffee,
  Copy,
  EllipsisVertical,
  ExternalLink,
  Hammer,
  Pause,
  Pencil,
  RotateCw,
  Square,
  Trash2,
} from 'lucide-react'
import { useState } from 'react'
import { useDo } from '@/api/queries'
import type { Workspace } from '@/api/types'
import { activityText, isUp, notDone, showsEffect, verbsFor } from '@/lib/awake'
import { scheduleText } from '@/lib/schedule'
import { DiskWarning } from './disk'
import { KeepAwakeDialog } from './keep-awake'
import { PowerButton } from './power-button'
import { ProblemNotice } from './problem-notice'
import { Reason } from './reason'
import { ScheduleDialog } from './schedule-dialog'
import { SleepLine } from './sleep-line'
import { inProgress, Progress } from './stages'
import { StatePill } from './state-pill'
import { TimeAgo, TimeAt } from './time-ago'
import { Button } from './ui/button'
import { Dot } from './ui/list'
import { Menu, MenuItem, MenuSeparator } from './ui/menu'
import { DeleteDialog, RebuildDialog, RenameDialog } from './workspace-dialogs'

export function WorkspaceRow({ workspace, templateTitle }: { workspace: Workspace; templateTitle: string }) {
  const [dialog, setDialog] = useState<'rename' | 'rebuild' | 'awake' | 'schedule' | 'delete'>()
  const act = useDo(workspace.id)
  const { id, name, state, stateSince, url, schedule } = workspace
  const verbs = verbsFor(workspace)
  const close = () => setDialog(undefined)

  return (
    <li data-workspace-id={id} className="grid gap-3 p-4 transition-colors hover:bg-raised/50 sm:px-5">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-3">
        <div className="grid min-w-0 flex-1 basis-72 gap-1">
          <div className="flex min-w-0 items-center gap-2.5">
            <h2 className="min-w-0 truncate text-[0.9375rem] font-medium">
              <Link to="/w/$id" params={{ id }} className="rounded-sm hover:text-primary">
                {name}
              </Link>
            </h2>
            <StatePill state={state} />
            {stateSince && (
              <span className="shrink-0 text-xs text-muted max-sm:hidden">
                since <TimeAt time={stateSince} />
              </span>
            )}
          </div>
          <a
            href={url}
            target="_blank"
            rel="noreferrer"
            className="inline-flex max-w-full min-w-0 items-center gap-1.5 justify-self-start rounded-sm font-mono text-xs text-muted hover:text-foreground"
          >
            <span className="truncate">{url.replace(/^https?:\/\//, '').replace(/\/$/, '')}</span>
            <ExternalLink aria-hidden className="size-3 shrink-0" />
            <span className="sr-only">, {name} in its own tab</span>
          </a>
          <p className="text-[0.8125rem] text-soft empty:hidden">
            <Doing workspace={workspace} />
          </p>
          <DiskWarning workspace={workspace} />
          <p className="text-[0.8125rem] text-muted">
            {templateTitle}
            {state !== 'running' && (
              <>
                <Dot />
                <Activity workspace={workspace} />
              </>
            )}
            <span className="max-sm:hidden">
              <Dot />
              created <TimeAgo time={workspace.createdAt} />
            </span>
            {schedule && (
              <>
                <Dot />
                {scheduleText(schedule)}
              </>
            )}
          </p>
          {workspace.reason && <Reason workspace={workspace} />}
        </div>
        <div className="flex items-center gap-2 self-start sm:mt-4">
          {state !== 'deleting' && (
            <>
              <Button asChild size="sm">
                <Link to="/w/$id" params={{ id }} aria-label={`Open ${name}`}>
                  Open
                  <ArrowRight aria-hidden className="text-primary" />
                </Link>
              </Button>
              <PowerButton workspace={workspace} listed busy={act.isPending} onDo={act.mutate} />
            </>
          )}
          <Menu
            trigger={
              // The menu's own data-state ("open") would be taken for the workspace's.
              <Button variant="ghost" size="icon" aria-label={`More for ${name}`} data-state={undefined}>
                <EllipsisVertical aria-hidden />
              </Button>
            }
          >
            <MenuItem asChild>
              <a href={url} target="_blank" rel="noreferrer">
                <ExternalLink aria-hidden />
                Open in own tab
              </a>
            </MenuItem>
            <MenuItem onSelect={() => void navigator.clipboard?.writeText(url)}>
              <Copy aria-hidden />
              Copy address
            </MenuItem>
            <MenuSeparator />
            {verbs.includes('pause') && (
              <MenuItem onSelect={() => act.mutate('pause')}>
                <Pause aria-hidden />
                Pause
              </MenuItem>
            )}
            {verbs.includes('stop') && verbs.includes('start') && (
              <MenuItem onSelect={() => act.mutate('stop')}>
                <Square aria-hidden />
                Stop
              </MenuItem>
            )}
            {verbs.includes('restart') && (
              <MenuItem onSelect={() => act.mutate('restart')}>
                <RotateCw aria-hidden />
                Restart
              </MenuItem>
            )}
            {verbs.includes('rebuild') && (
              <MenuItem onSelect={() => setDialog('rebuild')}>
                <Hammer aria-hidden />
                Rebuild…
              </MenuItem>
            )}
            {isUp(state) && (
              <MenuItem onSelect={() => setDialog('awake')}>
                <Coffee aria-hidden />
                Keep awake…
              </MenuItem>
            )}
            <MenuItem onSelect={() => setDialog('schedule')}>
              <CalendarClock aria-hidden />
              Schedule…
            </MenuItem>
            <MenuSeparator />
            <MenuItem onSelect={() => setDialog('rename')}>
              <Pencil aria-hidden />
              Rename
            </MenuItem>
            <MenuSeparator />
            <MenuItem danger onSelect={() => setDialog('delete')}>
              <Trash2 aria-hidden />
              Delete
            </MenuItem>
          </Menu>
        </div>
      </div>
      {act.error && !showsEffect(act.variables, state) && (
        <ProblemNotice error={act.error} title={notDone(name, act.variables)} />
      )}
      {dialog === 'rename' && <RenameDialog workspace={workspace} onClose={close} />}
      {dialog === 'rebuild' && <RebuildDialog workspace={workspace} onClose={close} />}
      {dialog === 'awake' && <KeepAwakeDialog workspace={workspace} onClose={close} />}
      {dialog === 'schedule' && <ScheduleDialog workspace={workspace} onClose={close} />}
      {dialog === 'delete' && <DeleteDialog workspace={workspace} onClose={close} />}
    </li>
  )
}

/** What it is doing, or when it will sleep. */
function Doing({ workspace }: { workspace: Workspace }) {
  return inProgress(workspace) ? <Progress workspace={workspace} /> : <SleepLine workspace={workspace} />
}

function Activity({ workspace }: { workspace: Workspace }) {
  const { lastActiveAt, lastActivity } = workspace
  if (!lastActiveAt) return <>not used yet</>
  return (
    <>
      active <TimeAgo time={lastActiveAt} />
      {lastActivity && ` (${activityText(lastActivity)})`}
    </>
  )
}
