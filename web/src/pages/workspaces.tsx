import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { Plus } from 'lucide-react'
import { templatesQuery, useWorkspaces } from '@/api/queries'
import type { Me, Workspace } from '@/api/types'
import { Loaded } from '@/components/loaded'
import { Mark } from '@/components/logo'
import { SearchField, searchFrom } from '@/components/search-field'
import { Shell } from '@/components/shell'
import { Button } from '@/components/ui/button'
import { Empty as None } from '@/components/ui/list'
import { WorkspaceRow } from '@/components/workspace-row'
import { isUp } from '@/lib/awake'
import { hasWords } from '@/lib/find'
import { useTitle } from '@/lib/hooks'

export function WorkspacesPage({ me, q = '' }: { me: Me; q?: string }) {
  useTitle('Workspaces')
  const query = useWorkspaces()
  const workspaces = query.data
  const { data: templates } = useQuery(templatesQuery)
  const titleOf = (name: string) => templates?.find((template) => template.name === name)?.title ?? name

  const navigate = useNavigate()
  const find = (words: string) =>
    void navigate({ to: '/workspaces', search: { q: words || undefined }, replace: true })
  const wanted = ({ name, id, template, repository, state }: Workspace) =>
    hasWords(q, name, id, titleOf(template), repository, state)

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
            <>
              {(workspaces.length >= searchFrom || q) && (
                <SearchField
                  label="Find workspaces"
                  placeholder="Name, template, repository or state"
                  value={q}
                  onChange={find}
                />
              )}
              <Rows workspaces={workspaces.filter(wanted)} titleOf={titleOf} />
            </>
          )
        }
      </Loaded>
    </Shell>
  )
}

type RowsProps = { workspaces: Workspace[]; titleOf: (template: string) => string }

function Rows({ workspaces, titleOf }: RowsProps) {
  if (workspaces.length === 0) return <None>None of your workspaces has these words.</None>
  return (
    <ul className="divide-y overflow-hidden rounded-xl border bg-card">
      {workspaces.map((workspace) => (
        <WorkspaceRow key={workspace.id} workspace={workspace} templateTitle={titleOf(workspace.template)} />
      ))}
    </ul>
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
