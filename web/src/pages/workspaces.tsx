import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { Plus } from 'lucide-react'
import { templatesQuery, useWorkspaces } from '@/api/queries'
import type { Me, Workspace } from '@/api/types'
import { Loaded } from '@/components/loaded'
import { Mark } from '@/components/logo'
import { Shell } from '@/components/shell'
import { Button } from '@/components/ui/button'
import { WorkspaceRow } from '@/components/workspace-row'
import { isUp } from '@/lib/awake'
import { useTitle } from '@/lib/hooks'

export function WorkspacesPage({ me }: { me: Me }) {
  useTitle('Workspaces')
  const query = useWorkspaces()
  const workspaces = query.data
  const { data: templates } = useQuery(templatesQuery)
  const titleOf = (name: string) => templates?.find((template) => template.name === name)?.title ?? name

  return (
    <Shell me={me}>
      <div className="mb-5 flex flex-wrap items-end justify-between gap-3">
        <div>
          <h1 className="text-xl font-semibold tracking-tight">Workspaces</h1>
          <p className="text-muted" aria-live="polite">
            {workspaces ? usage(workspaces, me) : '\u00a0'}
          </p>
        </div>
        {workspaces && workspaces.length > 0 && <NewButton />}
      </div>
      <Loaded query={query} what="workspaces">
        {(workspaces) =>
          workspaces.length === 0 ? (
            <Empty />
          ) : (
            <ul className="divide-y overflow-hidden rounded-xl border bg-card">
              {workspaces.map((workspace) => (
                <WorkspaceRow
                  key={workspace.id}
                  workspace={workspace}
                  templateTitle={titleOf(workspace.template)}
                />
              ))}
            </ul>
          )
        }
      </Loaded>
    </Shell>
  )
}

function usage(workspaces: Workspace[], { workspaceLimit, runningLimit }: Me): string {
  const awake = workspaces.filter(({ state }) => isUp(state)).length
  const count = workspaces.length
  const word = (workspaceLimit >= 0 ? workspaceLimit : count) === 1 ? 'workspace' : 'workspaces'
  return `${ofLimit(count, workspaceLimit)} ${word}, ${ofLimit(awake, runningLimit)} running or paused`
}

const ofLimit = (count: number, limit: number) => (limit >= 0 ? `${count} of ${limit}` : `${count}`)

function NewButton() {
  return (
    <Button asChild variant="primary">
      <Link to="/workspaces/new">
        <Plus aria-hidden />
        New workspace
      </Link>
    </Button>
  )
}

function Empty() {
  return (
    <div className="grid justify-items-center gap-5 rounded-xl border border-dashed border-input px-6 py-16 text-center">
      <Mark className="h-8" />
      <div className="grid gap-1.5">
        <h2 className="text-base font-semibold">No workspaces yet</h2>
        <p className="max-w-[44ch] text-soft">
          A workspace is a container with VS Code and your files. It sleeps when you leave and wakes when you
          open it.
        </p>
      </div>
      <NewButton />
    </div>
  )
}
