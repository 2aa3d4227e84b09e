import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { allWorkspacesQuery, peopleQuery, useStopAny } from '@/api/people'
import type { OwnedWorkspace } from '@/api/types'
import { Confirm } from '@/components/confirm'
import { Loaded } from '@/components/loaded'
import { Section } from '@/components/section'
import { StatePill } from '@/components/state-pill'
import { TimeAgo, TimeAt } from '@/components/time-ago'
import { Button } from '@/components/ui/button'
import { Dot, Empty, Item, ItemNote, List } from '@/components/ui/list'
import { Select } from '@/components/ui/select'
import { verbsFor } from '@/lib/awake'
import { bytesText } from '@/lib/bytes'
import { useTitle } from '@/lib/hooks'

export function AllWorkspacesPage({ owner }: { owner?: string }) {
  useTitle('All workspaces')
  const people = useQuery(peopleQuery).data?.people ?? []
  const list = useQuery({ ...allWorkspacesQuery(owner), refetchInterval: 10_000 })
  const nameOf = (id: string) => people.find((person) => person.id === id)?.name ?? id

  return (
    <Section
      title="All workspaces"
      description="Everybody’s. Those that failed and those that run come first."
    >
      <Owner owner={owner} people={people} />
      <Loaded query={list} what="workspaces" rows={5}>
        {({ workspaces, total }) =>
          workspaces.length === 0 ? (
            <Empty>There are none.</Empty>
          ) : (
            <div className="grid gap-3">
              <List label="All workspaces">
                {workspaces.map((workspace) => (
                  <WorkspaceItem
                    key={workspace.id}
                    workspace={workspace}
                    owner={owner}
                    ownerName={nameOf(workspace.owner)}
                  />
                ))}
              </List>
              {total > workspaces.length && (
                <p className="text-center text-[0.8125rem] text-muted">
                  {workspaces.length} of {total}. Choose an owner to see theirs.
                </p>
              )}
            </div>
          )
        }
      </Loaded>
    </Section>
  )
}

type OwnerProps = { owner?: string; people: { id: string; name: string }[] }

function Owner({ owner, people }: OwnerProps) {
  const navigate = useNavigate()
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
        onChange={(event) =>
          void navigate({
            to: '/admin/workspaces',
            search: { owner: event.target.value || undefined },
            replace: true,
          })
        }
      />
    </search>
  )
}

type ItemProps = { workspace: OwnedWorkspace; owner?: string; ownerName: string }

function WorkspaceItem({ workspace, owner, ownerName }: ItemProps) {
  const { id, name, template, state, stateSince, reason, lastActiveAt, diskUsed } = workspace
  const stop = useStopAny(owner)
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
