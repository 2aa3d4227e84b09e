import { lazy, type ReactNode, Suspense, useState } from 'react'
import { Group, Panel, Separator } from 'react-resizable-panels'
import type { Workspace } from '@/api/types'
import { recallWidth, rememberWidth } from '@/lib/agent-view'
import { useMedia } from '@/lib/hooks'
import { Skeleton } from '../loaded'

// What a chat needs is half of the console, so it is loaded when one is opened.
const AgentPanel = lazy(() => import('./agent-panel'))

type Props = {
  workspace: Workspace
  open: boolean
  focus: boolean
  onClose: () => void
  children: ReactNode
}

/** VS Code, with the agent beside it, or over it on a phone. VS Code stays loaded whatever becomes of the agent. */
export function BesideAgent({ workspace, open, focus, onClose, children }: Props) {
  const phone = useMedia('(max-width: 767px)')
  const [width] = useState(recallWidth)
  const [dragged, setDragged] = useState(false)
  const agent = open && (
    <Suspense
      fallback={
        <div className="flex-1 p-3">
          <Skeleton label="Loading the agent" rows={2} />
        </div>
      }
    >
      <AgentPanel workspace={workspace} focus={focus} onClose={onClose} />
    </Suspense>
  )
  return (
    <main className="relative flex min-h-0 min-w-0 flex-1">
      <Group
        className="min-h-0 flex-1"
        style={{ height: 'auto' }}
        onLayoutChanged={({ agent: percent }, { isUserInteraction }) => {
          if (isUserInteraction && percent !== undefined) rememberWidth(percent)
        }}
      >
        <Panel id="editor" minSize={280} className="flex">
          <div className="relative flex min-h-0 min-w-0 flex-1" inert={phone && open}>
            {children}
            {/* A frame would take the pointer of whoever drags the edge over it. */}
            {dragged && <div className="absolute inset-0 z-20" />}
          </div>
        </Panel>
        {open && !phone && (
          <>
            <Separator
              aria-label="Width of the agent"
              onPointerDown={() => {
                setDragged(true)
                const end = () => setDragged(false)
                for (const type of ['pointerup', 'pointercancel'])
                  window.addEventListener(type, end, { once: true })
              }}
              className="w-1.5 border-l bg-background transition-colors hover:bg-primary/30 focus-visible:bg-primary/40 data-[separator=active]:bg-primary/40"
            />
            <Panel
              id="agent"
              defaultSize={width === undefined ? 440 : `${width}%`}
              minSize={320}
              maxSize="70%"
              groupResizeBehavior="preserve-pixel-size"
              className="relative"
            >
              {/* Out of the flow, so that it scrolls and does not make the page longer. */}
              <div className="absolute inset-0 flex">{agent}</div>
            </Panel>
          </>
        )}
      </Group>
      {phone && agent && <div className="absolute inset-0 z-10 flex bg-background">{agent}</div>}
    </main>
  )
}
