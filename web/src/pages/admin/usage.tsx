import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { adminUsageQuery } from '@/api/agent'
import { Loaded } from '@/components/loaded'
import { Section } from '@/components/section'
import { Empty } from '@/components/ui/list'
import { Select } from '@/components/ui/select'
import { UseRow, UseTable } from '@/components/use-table'
import { useTitle } from '@/lib/hooks'
import { sinceDay, type UsageSearch, usageKinds, usageSpans } from '@/lib/usage'

export function UsagePage({ by = 'person', days = 30 }: UsageSearch) {
  useTitle('Agents')
  const navigate = useNavigate()
  const [now] = useState(Date.now)
  const usage = useQuery(adminUsageQuery(by, sinceDay(days, now)))
  const first = usageKinds.find(({ value }) => value === by)?.text ?? ''
  const show = (search: UsageSearch) => void navigate({ to: '/admin/usage', search, replace: true })

  return (
    <Section
      title="Agents"
      description="What the agents used. A person’s budget is part of their quota, under People."
    >
      <search className="mb-5 grid gap-4 sm:grid-cols-3">
        <Select
          label="By"
          value={by}
          options={usageKinds}
          onChange={(event) =>
            show({ by: usageKinds.find(({ value }) => value === event.target.value)?.value, days })
          }
        />
        <Select
          label="Since"
          value={`${days}`}
          options={usageSpans}
          onChange={(event) => show({ by, days: Number(event.target.value) })}
        />
      </search>
      <Loaded query={usage} what="use">
        {(rows) =>
          rows.length === 0 ? (
            <Empty>No agent was used in this time.</Empty>
          ) : (
            <UseTable label={`Use by ${first.toLowerCase()}`} first={first}>
              {rows.map(({ id, name, cost, ownCost, input, output }) => (
                <UseRow key={id} name={name || id} cost={cost} ownCost={ownCost} tokens={input + output} />
              ))}
            </UseTable>
          )
        }
      </Loaded>
    </Section>
  )
}
