import { Link } from '@tanstack/react-router'
import { ArrowLeft, Cable, ExternalLink, Play } from 'lucide-react'
import { useEffect, useId, useRef, useState } from 'react'
import { useStart, useStop, useWorkspaces } from '@/api/queries'
import type { State, Workspace } from '@/api/types'
import { Mark } from '@/components/logo'
import { PortsPanel } from '@/components/ports-panel'
import { PowerButton } from '@/components/power-button'
import { ProblemNotice } from '@/components/problem-notice'
import { Reason } from '@/components/reason'
import { StatePill } from '@/components/state-pill'
import { Button } from '@/components/ui/button'
import { useTitle } from '@/lib/hooks'
import { nextPane, openPane } from '@/lib/pane'
import { WorkspaceGonePage } from './failure'
import { CentredPage } from './frame'

export function WorkspacePage({ id }: { id: string }) {
  const { data: workspaces, error, refetch } = useWorkspaces()
  const workspace = workspaces?.find((one) => one.id === id)
  if (workspace) return <WorkspaceView key={id} workspace={workspace} />
  if (workspaces) return <WorkspaceGonePage />
  if (error) {
    return (
      <CentredPage>
        <ProblemNotice error={error} action={<Button onClick={() => void refetch()}>Try again</Button>} />
      </CentredPage>
    )
  }
  return <div role="status" aria-label="Loading the workspace" />
}

function WorkspaceView({ workspace }: { workspace: Workspace }) {
  useTitle(workspace.name)
  const { id, name, state, url } = workspace
  const [pane, setPane] = useState(() => openPane(state))
  useEffect(() => setPane((current) => nextPane(current, state)), [state])
  const start = useStart()
  const stop = useStop()
  const busy = start.isPending || stop.isPending
  const [ports, setPorts] = useState(false)
  const portsId = useId()
  const portsButton = useRef<HTMLButtonElement>(null)
  const closePorts = () => {
    setPorts(false)
    portsButton.current?.focus()
  }

  return (
    <div className="flex min-h-0 flex-1 flex-col">
      <header className="flex h-11 shrink-0 items-center gap-2 border-b px-2">
        <Button asChild variant="ghost" size="icon">
          <Link to="/workspaces" aria-label="All workspaces" title="All workspaces">
            <ArrowLeft aria-hidden />
          </Link>
        </Button>
        <Mark className="hidden h-4 sm:block" />
        <h1 className="min-w-0 truncate font-medium sm:ml-1">{name}</h1>
        <StatePill state={state} />
        <div className="flex-1" />
        {pane.show === 'frame' && (
          <PowerButton
            state={state}
            busy={busy}
            onStart={() => start.mutate(id)}
            onStop={() => stop.mutate(id)}
          />
        )}
        <Button
          ref={portsButton}
          variant="ghost"
          size="sm"
          aria-expanded={ports}
          aria-controls={ports ? portsId : undefined}
          className="aria-expanded:bg-hover aria-expanded:text-foreground"
          onClick={() => setPorts(!ports)}
        >
          <Cable aria-hidden />
          <span className="max-sm:sr-only">Ports</span>
        </Button>
        <Button asChild variant="ghost" size="sm">
          <a href={url} target="_blank" rel="noreferrer" aria-label={`Open ${name} in its own tab`}>
            <ExternalLink aria-hidden />
            <span className="hidden sm:inline">Own tab</span>
          </a>
        </Button>
      </header>
      {stop.error && pane.show === 'frame' && (
        <div className="border-b p-3">
          <ProblemNotice error={stop.error} title={`${name} was not stopped`} />
        </div>
      )}
      <div className="relative flex min-h-0 flex-1">
        <main className="relative flex min-h-0 flex-1">
          {pane.show === 'frame' ? (
            <iframe
              key={pane.visit}
              src={url}
              title="VS Code"
              allow="clipboard-read; clipboard-write; cross-origin-isolated"
              className="absolute inset-0 size-full border-0 bg-background"
            />
          ) : (
            <Down workspace={workspace} busy={busy} error={start.error} onStart={() => start.mutate(id)} />
          )}
        </main>
        {ports && <PortsPanel id={portsId} workspace={workspace} onClose={closePorts} />}
      </div>
    </div>
  )
}

// The same function on each render, so that it takes the focus once, when the panel appears.
const focus = (element: HTMLElement | null) => element?.focus()

const texts: Partial<Record<State, { heading: string; note?: string; start?: string }>> = {
  stopping: { heading: 'is stopping', note: 'Its files are kept.' },
  stopped: {
    heading: 'is stopped',
    note: 'Its files are kept. It is ready again a few seconds after a start.',
    start: 'Start',
  },
  deleting: { heading: 'is being deleted', note: 'Its container, its files and its record go for good.' },
  error: { heading: 'has failed', start: 'Start' },
}

type DownProps = { workspace: Workspace; busy: boolean; error: unknown; onStart: () => void }

function Down({ workspace, busy, error, onStart }: DownProps) {
  const { heading, note, start } = texts[workspace.state] ?? { heading: `is ${workspace.state}` }
  return (
    <div className="m-auto grid max-h-full w-full max-w-lg gap-5 overflow-auto px-5 py-10">
      <div className="grid gap-2">
        <h2
          ref={focus}
          tabIndex={-1}
          className="text-xl font-semibold tracking-tight break-words outline-none"
        >
          {workspace.name} {heading}
        </h2>
        {note && <p className="text-soft">{note}</p>}
      </div>
      {workspace.reason && <Reason workspace={workspace} />}
      {error ? <ProblemNotice error={error} title={`${workspace.name} was not started`} /> : null}
      {start && (
        <Button variant="primary" className="justify-self-start" disabled={busy} onClick={onStart}>
          <Play aria-hidden className="size-3.5! fill-current" />
          {start}
        </Button>
      )}
    </div>
  )
}
