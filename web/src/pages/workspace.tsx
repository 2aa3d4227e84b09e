import { Link } from '@tanstack/react-router'
import { Activity, ArrowLeft, Bot, Cable, ExternalLink, Hammer, type LucideIcon, Play } from 'lucide-react'
import { type ReactNode, useEffect, useId, useRef, useState } from 'react'
import { useDo, useWorkspaces } from '@/api/queries'
import type { State, Workspace } from '@/api/types'
import { BesideAgent } from '@/components/agent/beside-agent'
import { Mark } from '@/components/logo'
import { PortsPanel } from '@/components/ports-panel'
import { PowerButton } from '@/components/power-button'
import { ProblemNotice } from '@/components/problem-notice'
import { Reason } from '@/components/reason'
import { SleepLine } from '@/components/sleep-line'
import { inProgress, Progress } from '@/components/stages'
import { StatePill } from '@/components/state-pill'
import { StatusPanel } from '@/components/status-panel'
import { Button } from '@/components/ui/button'
import { RebuildDialog } from '@/components/workspace-dialogs'
import { recallOpen, rememberOpen } from '@/lib/agent-view'
import { notDone, showsEffect, startWord, type Verb, verbsFor } from '@/lib/awake'
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

type PanelName = 'status' | 'ports'

function WorkspaceView({ workspace }: { workspace: Workspace }) {
  useTitle(workspace.name)
  const { id, name, state, url } = workspace
  const [pane, setPane] = useState(() => openPane(state))
  useEffect(() => setPane((current) => nextPane(current, state)), [state])
  const act = useDo(id)
  const [panel, setPanel] = useState<PanelName>()
  const panelId = useId()
  const buttons = { status: useRef<HTMLButtonElement>(null), ports: useRef<HTMLButtonElement>(null) }
  const closePanel = () => {
    setPanel(undefined)
    if (panel) buttons[panel].current?.focus()
  }
  const [agent, setAgent] = useState<'closed' | 'open' | 'opened'>(() => (recallOpen() ? 'open' : 'closed'))
  const agentButton = useRef<HTMLButtonElement>(null)
  const showAgent = (show: boolean) => {
    setAgent(show ? 'opened' : 'closed')
    rememberOpen(show)
    if (!show) agentButton.current?.focus()
  }
  const toggle = (which: PanelName, text: string, Icon: LucideIcon) => (
    <Button
      ref={buttons[which]}
      variant="ghost"
      size="sm"
      aria-expanded={panel === which}
      aria-controls={panel === which ? panelId : undefined}
      className="aria-expanded:bg-hover aria-expanded:text-foreground"
      onClick={() => setPanel(panel === which ? undefined : which)}
    >
      <Icon aria-hidden />
      <span className="max-sm:sr-only">{text}</span>
    </Button>
  )
  const failed = act.error && !showsEffect(act.variables, state) && (
    <ProblemNotice error={act.error} title={notDone(name, act.variables)} />
  )
  const covered = pane.show === 'panel' || pane.asleep

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
        <StatePill state={state} compact />
        <p className="min-w-0 flex-1 truncate text-[0.8125rem] text-muted max-md:invisible">
          {inProgress(workspace) ? <Progress workspace={workspace} /> : <SleepLine workspace={workspace} />}
        </p>
        {!covered && <PowerButton workspace={workspace} busy={act.isPending} onDo={act.mutate} />}
        <Button
          ref={agentButton}
          variant="ghost"
          size="sm"
          aria-expanded={agent !== 'closed'}
          className="aria-expanded:bg-hover aria-expanded:text-foreground"
          onClick={() => showAgent(agent === 'closed')}
        >
          <Bot aria-hidden />
          <span className="max-sm:sr-only">Agent</span>
        </Button>
        {toggle('status', 'Status', Activity)}
        {toggle('ports', 'Ports', Cable)}
        <Button asChild variant="ghost" size="sm">
          <a href={url} target="_blank" rel="noreferrer" aria-label={`Open ${name} in its own tab`}>
            <ExternalLink aria-hidden />
            <span className="hidden lg:inline">Own tab</span>
          </a>
        </Button>
      </header>
      {!covered && failed && <div className="border-b p-3">{failed}</div>}
      <div className="relative flex min-h-0 flex-1">
        <BesideAgent
          workspace={workspace}
          open={agent !== 'closed'}
          focus={agent === 'opened'}
          onClose={() => showAgent(false)}
        >
          {pane.show === 'frame' && (
            <iframe
              key={pane.visit}
              src={url}
              title="VS Code"
              allow="clipboard-read; clipboard-write; cross-origin-isolated"
              sandbox={frameMay}
              inert={pane.asleep}
              className="absolute inset-0 size-full border-0 bg-background"
            />
          )}
          {covered && (
            <div className="absolute inset-0 z-10 flex overflow-auto bg-background">
              <Down
                key={workspace.queue ? 'queue' : state}
                workspace={workspace}
                busy={act.isPending}
                failed={failed}
                onDo={act.mutate}
                onStatus={() => setPanel('status')}
              />
            </div>
          )}
        </BesideAgent>
        {panel === 'status' && <StatusPanel id={panelId} workspace={workspace} onClose={closePanel} />}
        {panel === 'ports' && <PortsPanel id={panelId} workspace={workspace} onClose={closePanel} />}
      </div>
    </div>
  )
}

// All that VS Code needs. What runs in it is the workspace's, and may not put another page in the console's place.
const frameMay =
  'allow-scripts allow-same-origin allow-forms allow-modals allow-popups allow-popups-to-escape-sandbox allow-downloads allow-pointer-lock'

// The same function on each render, so that it takes the focus once, when the panel appears.
const focus = (element: HTMLElement | null) => element?.focus()

const texts: Partial<Record<State, { heading: string; note?: string }>> = {
  paused: {
    heading: 'is paused',
    note: 'It keeps its memory: what runs in it and unsaved text are there when it wakes, in a moment.',
  },
  stopping: { heading: 'is stopping', note: 'Its files are kept.' },
  stopped: {
    heading: 'is stopped',
    note: 'Its files are kept. It is ready again a few seconds after a start.',
  },
  deleting: { heading: 'is being deleted', note: 'Its container, its files and its record go for good.' },
  error: { heading: 'has failed' },
}

const waiting = {
  heading: 'is waiting to start',
  note: 'Others are being started just now. It starts by itself when it is its turn.',
}

type DownProps = {
  workspace: Workspace
  busy: boolean
  failed: ReactNode
  onDo: (verb: Verb) => void
  onStatus: () => void
}

/** What stands in the place of VS Code while the workspace sleeps, and how to wake it. */
function Down({ workspace, busy, failed, onDo, onStatus }: DownProps) {
  const { name, state, reason, start, queue } = workspace
  const { heading, note } = queue ? waiting : (texts[state] ?? { heading: `is ${state}` })
  const [asking, setAsking] = useState(false)
  const verbs = verbsFor(workspace)
  return (
    <div className="m-auto grid w-full max-w-lg gap-5 px-5 py-10">
      <div className="grid gap-2">
        <h2
          ref={focus}
          tabIndex={-1}
          className="text-xl font-semibold tracking-tight break-words outline-none"
        >
          {name} {heading}
        </h2>
        {note && <p className="text-soft">{note}</p>}
        <p className="text-[0.8125rem] text-muted empty:hidden">
          {inProgress(workspace) ? <Progress workspace={workspace} /> : <SleepLine workspace={workspace} />}
        </p>
      </div>
      {reason && !queue && <Reason workspace={workspace} />}
      {failed}
      <div className="flex flex-wrap gap-2 empty:hidden">
        {verbs.includes('start') && (
          <Button variant="primary" disabled={busy} onClick={() => onDo('start')}>
            <Play aria-hidden className="size-3.5! fill-current" />
            {startWord(state)}
          </Button>
        )}
        {queue && (
          <Button disabled={busy} onClick={() => onDo('stop')}>
            Do not start it
          </Button>
        )}
        {state === 'error' && !queue && (
          <>
            <Button disabled={busy} onClick={() => setAsking(true)}>
              <Hammer aria-hidden />
              Rebuild…
            </Button>
            {start && <Button onClick={onStatus}>Show its last start</Button>}
          </>
        )}
      </div>
      {asking && <RebuildDialog workspace={workspace} onClose={() => setAsking(false)} />}
    </div>
  )
}
