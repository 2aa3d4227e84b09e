import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { useDeferredValue, useState } from 'react'
import { allWorkspacesQuery, peopleQuery, useStopAny } from '@/api/people'
import type { OwnedWorkspace } from '@/api/types'
import { Confirm } from '@/components/confirm'
import { Loaded } from '@/components/loaded'
import { Section } from '@/components/section'
import { StatePill } from '@/components/state-pill'
import { TimeAgo, TimeAt } from '@/components/time-ago'
import { Button } from '@/components/ui/button'
import { Field } from '@/components/ui/field'
import { Dot, Empty, Item, ItemNote, List } from '@/components/ui/list'
import { Select } from '@/components/ui/select'
import { verbsFor } from '@/lib/awake'
import { bytesText } from '@/lib/bytes'
import { useTitle } from '@/lib/hooks'

type Search = { owner?: string; q?: string }

export function AllWorkspacesPage({ owner, q }: Search) {
  useTitle('All workspaces')
  const people = useQuery(peopleQuery).data?.people ?? []
  const query = allWorkspacesQuery(owner, useDeferredValue(q))
  const list = useQuery({ ...query, placeholderData: keepPreviousData, refetchInterval: 10_000 })
  const nameOf = (id: string) => people.find((person) => person.id === id)?.name ?? id

  return (
    <Section
      title="All workspaces"
      description="Everybody’s. Those that failed and those that run come first."
    >
      <Filter owner={owner} q={q} people={people} />
      <Loaded query={list} what="workspaces" rows={5}>
        {({ workspaces, total }) =>
          workspaces.length === 0 ? (
            <Empty>{q ? 'None has these words.' : 'There are none.'}</Empty>
          ) : (
            <div className="grid gap-3">
              <List label="All workspaces">
                {workspaces.map((workspace) => (
                  <WorkspaceItem
                    key={workspace.id}
                    workspace={workspace}
                    ownerName={nameOf(workspace.owner)}
                  />
                ))}
              </List>
              {total > workspaces.length && (
                <p className="text-center text-[0.8125rem] text-muted">
                  {workspaces.length} of {total}. Choose an owner or find by words to see the others.
                </p>
              )}
            </div>
          )
        }
      </Loaded>
    </Section>
  )
}

type FilterProps = Search & { people: { id: string; name: string }[] }

function Filter({ owner, q, people }: FilterProps) {
  const navigate = useNavigate()
  const find = (search: Search) => void navigate({ to: '/admin/workspaces', search, replace: true })
  const known = people.some(({ id }) => id === owner)
  return (
    <search className="mb-5 grid gap-4 sm:grid-cols-3">
      <Select
        label="Owner"
        value={owner ?? ''}
        options={[
          { value: '', text: 'Everybody' },
          ...people.map(({ id, name }) => ({ value: id, text: name })),
          // Somebody whose name is still on its way.
          ...(owner && !known ? [{ value: owner, text: owner }] : []),
        ]}
        onChange={(event) => find({ owner: event.target.value || undefined, q })}
      />
      <div className="sm:col-span-2">
        <Field
          label="Name, id, template or state"
          type="search"
          maxLength={100}
          value={q ?? ''}
          onChange={(event) => find({ owner, q: event.target.value || undefined })}
        />
      </div>
    </search>
  )
}

type ItemProps = { workspace: OwnedWorkspace; ownerName: string }

function WorkspaceItem({ workspace, ownerName }: ItemProps) {
  const { id, name, template, state, stateSince, reason, lastActiveAt, diskUsed } = workspace
  const stop = useStopAny()
  const [asking, setAsking] = useState(false)
  return (
    <Item
      title={name}
      tags={<StatePill state={state} />}
      actions={
        <>
          {verbsFor({ state }).includes('stop') && (
            <Button size="sm" aria-label={`Stop ${name} of ${ownerName}`} onClick={() => setAsking(true)}>
              Stop
            </Button>
          )}
          <Button asChild size="sm" variant="ghost">
            <Link to="/admin/audit" search={{ workspace: id }} aria-label={`${name} in the audit log`}>
              Audit log
            </Link>
          </Button>
        </>
      }
    >
      <ItemNote>
        {ownerName}
        <Dot />
        <span className="font-mono text-xs">{id}</span>
        <Dot />
        {template}
        {diskUsed > 0 && (
          <>
            <Dot />
            {bytesText(diskUsed)}
          </>
        )}
      </ItemNote>
      <ItemNote>
        {stateSince && (
          <>
            {state} since <TimeAt time={stateSince} />
            <Dot />
          </>
        )}
        {lastActiveAt ? (
          <>
            active <TimeAgo time={lastActiveAt} />
          </>
        ) : (
          'not used yet'
        )}
      </ItemNote>
      {reason && <p className="text-[0.8125rem] break-words text-soft first-letter:uppercase">{reason}</p>}
      {asking && (
        <Confirm
          title={`Stop ${name} of ${ownerName}?`}
          description="What runs in it is ended. Its files are kept, and its owner can start it again."
          action="Stop it"
          busy="Stopping…"
          failed="It was not stopped"
          act={stop}
          onConfirm={() => stop.mutate(id, { onSuccess: () => setAsking(false) })}
          onClose={() => setAsking(false)}
        />
      )}
    </Item>
  )
}
