import { useQuery } from '@tanstack/react-query'
import { ExternalLink, Trash2 } from 'lucide-react'
import { type FormEvent, useState } from 'react'
import { useListening } from '@/api/listening'
import { portsQuery, useResetPort, useSetPort } from '@/api/ports'
import { templatesQuery } from '@/api/queries'
import type { Level, Port, Workspace } from '@/api/types'
import {
  allPorts,
  capNote,
  type Listening,
  levelOptions,
  readPort,
  recallPorts,
  rememberPorts,
} from '@/lib/ports'
import { Confirm } from './confirm'
import { Loaded } from './loaded'
import { ProblemNotice } from './problem-notice'
import { Button } from './ui/button'
import { CopyButton } from './ui/copy'
import { Field } from './ui/field'
import { Panel } from './ui/panel'
import { Select } from './ui/select'
import { Switch } from './ui/switch'

type Props = { id: string; workspace: Workspace; onClose: () => void }

/** The previews of a workspace: servers that listen on a port inside it, and who may open them. */
export function PortsPanel({ id, workspace, onClose }: Props) {
  const ports = useQuery(portsQuery(workspace.id))
  return (
    <Panel id={id} title="Ports" close="Close the ports" onClose={onClose}>
      <p className="text-[0.8125rem] text-muted">
        A server that listens on a port in the workspace is listed here, and opens at an address of its own.
        Only you may open it, unless you share it.
      </p>
      <Loaded query={ports} what="ports">
        {({ ports, cap }) => <Ports workspace={workspace} set={ports} cap={cap} />}
      </Loaded>
    </Panel>
  )
}

/** `set` are the ports with settings of their own. The template's, those that listen and those that were added have none yet. */
function Ports({ workspace, set, cap }: { workspace: Workspace; set: Port[]; cap: Level }) {
  const { id, url, template } = workspace
  const templates = useQuery(templatesQuery).data
  const fixed = templates?.find(({ name }) => name === template)?.ports ?? []
  const [added, setAdded] = useState(() => recallPorts(id))
  const listening = useListening(id, workspace.state === 'running')
  const ports = allPorts(url, [...fixed, ...added, ...(listening ?? []).map(({ port }) => port)], set)
  const change = (next: number[]) => {
    setAdded(next)
    rememberPorts(id, next)
  }
  const note = capNote(cap)

  return (
    <>
      {note && <p className="text-[0.8125rem] text-soft">{note}</p>}
      {ports.length > 0 && (
        <ul aria-label="Ports" className="grid grid-cols-1 gap-3">
          {ports.map((port) => (
            <PortItem
              key={port.port}
              workspace={id}
              port={port}
              cap={cap}
              listens={listens(port.port, listening)}
              kept={
                !fixed.includes(port.port) && [...added, ...set.map((one) => one.port)].includes(port.port)
              }
              onKeep={() => change([...new Set([...added, port.port])])}
              onForget={() => change(added.filter((one) => one !== port.port))}
            />
          ))}
        </ul>
      )}
      <AddPort ports={ports} onAdd={(port) => change([...added, port])} />
    </>
  )
}

type ItemProps = {
  workspace: string
  port: Port
  cap: Level
  /** What listens there, in words; empty as long as nobody can tell. */
  listens: string
  /** It is in the list since somebody added or shared it, and can be taken out. */
  kept: boolean
  onKeep: () => void
  onForget: () => void
}

function listens(port: number, listening: Listening[] | undefined): string {
  if (!listening) return ''
  const found = listening.find((one) => one.port === port)
  return found ? found.command || 'in use' : 'nothing listens'
}

function PortItem({ workspace, port, cap, listens, kept, onKeep, onForget }: ItemProps) {
  const set = useSetPort(workspace)
  const reset = useResetPort(workspace)
  const [asking, setAsking] = useState(false)
  // What was chosen is shown while it is on its way.
  const { level, wakes, cors } = set.isPending ? { ...port, ...set.variables } : port
  const busy = set.isPending || reset.isPending
  const name = `port ${port.port}`
  const change = (fields: Partial<Port>, options?: { onSuccess: () => void }) => {
    onKeep() // the server forgets a port that is made private
    set.mutate({ port: port.port, level, wakes, cors, ...fields }, options)
  }

  return (
    <li className="grid grid-cols-1 gap-3 rounded-lg border bg-card p-3.5">
      <div className="flex items-center gap-1">
        <h3>
          <a
            href={port.url}
            target="_blank"
            rel="noreferrer"
            aria-label={`Open ${name} in a new tab`}
            className="inline-flex items-center gap-1.5 rounded-sm font-mono font-medium hover:text-primary"
          >
            {port.port}
            <ExternalLink aria-hidden className="size-3.5 text-muted" />
          </a>
        </h3>
        <span className="min-w-0 flex-1 truncate pl-1.5 text-xs text-muted">{listens}</span>
        <CopyButton text={port.url} label={`Copy the address of ${name}`} />
        {kept && (
          <Button
            variant="ghost"
            size="icon"
            aria-label={`Remove ${name}`}
            title={`Remove ${name}`}
            disabled={busy}
            onClick={() => reset.mutate(port.port, { onSuccess: onForget })}
          >
            <Trash2 aria-hidden />
          </Button>
        )}
      </div>
      <Select
        label={`Who may open ${name}`}
        hideLabel
        note={port.effective === port.level ? undefined : 'Your operator allows less, and that counts.'}
        options={levelOptions(cap)}
        value={level}
        disabled={busy}
        onChange={(event) => {
          const chosen = levelOptions(cap).find(({ value }) => value === event.target.value)?.value
          if (chosen === 'public') setAsking(true)
          else if (chosen) change({ level: chosen, wakes: false })
        }}
      />
      {level === 'public' && (
        <Switch
          label="Opening it wakes the workspace"
          note="Anybody can then start it, within a limit."
          checked={wakes}
          disabled={busy}
          onChange={(wakes) => change({ wakes })}
        />
      )}
      <Switch
        label="Your other ports may call it"
        note="Allows cross-origin requests (CORS) from this workspace’s other ports."
        checked={cors}
        disabled={busy}
        onChange={(cors) => change({ cors })}
      />
      {set.error && !asking && <ProblemNotice error={set.error} title="It was not changed" />}
      {reset.error && <ProblemNotice error={reset.error} title="It was not removed" />}
      {asking && (
        <Confirm
          title={`Make ${name} public?`}
          description="Anybody who has its address can open it, without signing in. Keep what shows private data or runs commands private."
          action="Make it public"
          busy="Sharing…"
          failed="It was not shared"
          act={set}
          onConfirm={() => change({ level: 'public' }, { onSuccess: () => setAsking(false) })}
          onClose={() => setAsking(false)}
        />
      )}
    </li>
  )
}

function AddPort({ ports, onAdd }: { ports: Port[]; onAdd: (port: number) => void }) {
  const [text, setText] = useState('')
  const [fault, setFault] = useState<string>()

  const submit = (event: FormEvent) => {
    event.preventDefault()
    const port = readPort(text, ports)
    if (typeof port === 'string') return setFault(port)
    onAdd(port)
    setText('')
  }

  return (
    <form onSubmit={submit} className="grid grid-cols-[1fr_auto] items-start gap-2">
      <Field
        label="Add a port"
        inputMode="numeric"
        placeholder="8000"
        value={text}
        error={fault}
        onChange={(event) => {
          setText(event.target.value)
          setFault(undefined)
        }}
      />
      <Button type="submit" className="mt-[1.59375rem] h-10" disabled={!text.trim()}>
        Add
      </Button>
    </form>
  )
}
