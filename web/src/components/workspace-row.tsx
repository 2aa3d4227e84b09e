import { Link } from '@tanstack/react-router'
import { ArrowRight, Copy, EllipsisVertical, ExternalLink, Pencil, Trash2 } from 'lucide-react'
import { useState } from 'react'
import { useStart, useStop } from '@/api/queries'
import type { Workspace } from '@/api/types'
import { PowerButton } from './power-button'
import { ProblemNotice } from './problem-notice'
import { Reason } from './reason'
import { StatePill } from './state-pill'
import { TimeAgo } from './time-ago'
import { Button } from './ui/button'
import { Dot } from './ui/list'
import { Menu, MenuItem, MenuSeparator } from './ui/menu'
import { DeleteDialog, RenameDialog } from './workspace-dialogs'

export function WorkspaceRow({ workspace, templateTitle }: { workspace: Workspace; templateTitle: string }) {
  const [dialog, setDialog] = useState<'rename' | 'delete'>()
  const start = useStart()
  const stop = useStop()
  const { id, name, state, url } = workspace
  // A call whose answer was lost may have worked all the same; the state tells.
  const down = state === 'stopped' || state === 'error'
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
          <p className="text-[0.8125rem] text-muted">
            {templateTitle}
            <Dot />
            <Activity workspace={workspace} />
            <span className="max-sm:hidden">
              <Dot />
              created <TimeAgo time={workspace.createdAt} />
            </span>
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
              <PowerButton
                state={state}
                name={name}
                busy={start.isPending || stop.isPending}
                onStart={() => start.mutate(id)}
                onStop={() => stop.mutate(id)}
              />
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
      {start.error && down && <ProblemNotice error={start.error} title={`${name} was not started`} />}
      {stop.error && !down && <ProblemNotice error={stop.error} title={`${name} was not stopped`} />}
      {dialog === 'rename' && <RenameDialog workspace={workspace} onClose={close} />}
      {dialog === 'delete' && <DeleteDialog workspace={workspace} onClose={close} />}
    </li>
  )
}

function Activity({ workspace }: { workspace: Workspace }) {
  if (!workspace.lastActiveAt) return <>not used yet</>
  return (
    <>
      active <TimeAgo time={workspace.lastActiveAt} />
      {workspace.lastActivity && ` (${workspace.lastActivity})`}
    </>
  )
}
