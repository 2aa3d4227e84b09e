import { keepPreviousData, useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { RotateCw } from 'lucide-react'
import { auditQuery, peopleQuery } from '@/api/people'
import type { AuditEvent, Person } from '@/api/types'
import { Loaded } from '@/components/loaded'
import { ProblemNotice } from '@/components/problem-notice'
import { Section } from '@/components/section'
import { TimeAgo } from '@/components/time-ago'
import { Button } from '@/components/ui/button'
import { Field } from '@/components/ui/field'
import { Empty } from '@/components/ui/list'
import { Select } from '@/components/ui/select'
import { Tag } from '@/components/ui/tag'
import { agentName } from '@/lib/agent'
import { type AuditSearch, actionOptions, actionText, viaText } from '@/lib/audit'
import { useTitle } from '@/lib/hooks'

export function AuditPage({ filter }: { filter: AuditSearch }) {
  useTitle('Audit log')
  const people = useQuery(peopleQuery).data?.people ?? []
  const log = useInfiniteQuery({ ...auditQuery(filter), placeholderData: keepPreviousData })

  return (
    <Section
      title="Audit log"
      description="Who did what, from where, to which workspace. The newest is first."
      action={
        <Button disabled={log.isFetching} onClick={() => void log.refetch()}>
          <RotateCw aria-hidden />
          Refresh
        </Button>
      }
    >
      <Filter filter={filter} people={people} />
      <Loaded query={log} what="the audit log" rows={5}>
        {({ pages }) => {
          const events = pages.flatMap((page) => page.events)
          return events.length === 0 ? (
            <Empty>Nothing in the log fits this.</Empty>
          ) : (
            <div className="grid gap-4">
              <Events events={events} people={people} />
              {log.isFetchNextPageError && (
                <ProblemNotice error={log.error} title="Older events are missing" />
              )}
              {log.hasNextPage && (
                <Button
                  className="justify-self-center"
                  disabled={log.isFetchingNextPage}
                  onClick={() => void log.fetchNextPage()}
                >
                  {log.isFetchingNextPage ? 'Loading…' : 'Older events'}
                </Button>
              )}
            </div>
          )
        }}
      </Loaded>
    </Section>
  )
}

function Filter({ filter, people }: { filter: AuditSearch; people: Person[] }) {
  const navigate = useNavigate()
  const set = (change: AuditSearch) =>
    void navigate({ to: '/admin/audit', search: { ...filter, ...change }, replace: true })
  const known = people.some(({ id }) => id === filter.person)
  return (
    <search className="mb-5 grid grid-cols-2 gap-x-4 gap-y-3 max-sm:*:last:col-span-2 sm:grid-cols-3">
      <Select
        label="Person"
        value={filter.person ?? ''}
        options={[
          { value: '', text: 'Everybody' },
          ...people.map(({ id, name }) => ({ value: id, text: name })),
          // Somebody whose name is still on its way.
          ...(filter.person && !known ? [{ value: filter.person, text: filter.person }] : []),
        ]}
        onChange={(event) => set({ person: event.target.value || undefined })}
      />
      <Select
        label="Action"
        value={filter.action ?? ''}
        options={[{ value: '', text: 'Everything' }, ...actionOptions]}
        onChange={(event) => set({ action: event.target.value || undefined })}
      />
      <Field
        key={filter.workspace}
        type="search"
        label="Workspace"
        placeholder="its id, then Enter"
        defaultValue={filter.workspace}
        onKeyDown={(event) => {
          if (event.key === 'Enter') set({ workspace: event.currentTarget.value.trim() || undefined })
        }}
        onBlur={(event) => {
          const workspace = event.target.value.trim() || undefined
          if (workspace !== filter.workspace) set({ workspace })
        }}
      />
    </search>
  )
}

const head = 'px-3 py-2.5 text-left text-xs font-medium text-muted first:pl-5 last:pr-5'
const cell = 'max-md:block max-md:px-4 md:px-3 md:py-2.5 md:first:pl-5 md:last:pr-5 align-top break-words'

/** A table; on a phone each of its rows is a block of lines. */
function Events({ events, people }: { events: AuditEvent[]; people: Person[] }) {
  const nameOf = (id: string) => people.find((person) => person.id === id)?.name ?? id
  return (
    <div className="overflow-hidden rounded-xl border bg-card">
      <table className="w-full text-[0.8125rem] max-md:block md:table-fixed">
        <thead className="border-b max-md:sr-only">
          <tr>
            <th className={`${head} w-36`}>When</th>
            <th className={`${head} w-44`}>What</th>
            <th className={`${head} w-32`}>Who</th>
            <th className={`${head} w-32`}>Workspace</th>
            <th className={`${head} w-40`}>From</th>
            <th className={head}>Detail</th>
          </tr>
        </thead>
        <tbody className="divide-y max-md:block">
          {events.map((event) => (
            <tr key={event.id} className="max-md:grid max-md:gap-0.5 max-md:py-3">
              <td className={`${cell} text-muted`}>
                <TimeAgo time={event.at} />
              </td>
              <td className={`${cell} max-md:text-sm`}>
                <span className="inline-flex flex-wrap items-center gap-x-2 gap-y-1">
                  {actionText(event.action)}
                  {event.outcome === 'refused' && <Tag tone="bad">Refused</Tag>}
                </span>
              </td>
              <td className={`${cell} text-soft`}>
                {event.person ? nameOf(event.person) : <span className="text-muted">nobody known</span>}
                {viaText(event.via) && <span className="block text-xs text-muted">{viaText(event.via)}</span>}
              </td>
              <td className={`${cell} font-mono text-xs text-soft max-md:empty:hidden`}>{event.workspace}</td>
              <td className={`${cell} text-muted max-md:empty:hidden`}>
                {event.address && <span className="block font-mono text-xs">{event.address}</span>}
                {event.userAgent && (
                  <span className="block text-xs" title={event.userAgent}>
                    {agentName(event.userAgent)}
                  </span>
                )}
              </td>
              <td className={`${cell} text-soft max-md:empty:hidden`}>{event.detail}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
