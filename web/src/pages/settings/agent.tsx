import { useQuery } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'
import {
  keyQuery,
  type Models,
  modelsQuery,
  type Span,
  type UsageRow,
  usageQuery,
  useOwnKey,
} from '@/api/agent'
import { asProblem } from '@/api/problem'
import { Confirm } from '@/components/confirm'
import { Loaded } from '@/components/loaded'
import { ProblemNotice } from '@/components/problem-notice'
import { Section } from '@/components/section'
import { Button } from '@/components/ui/button'
import { Field } from '@/components/ui/field'
import { Notice } from '@/components/ui/notice'
import { UseRow, UseTable } from '@/components/use-table'
import { useTitle } from '@/lib/hooks'
import { dollars, shortCount, tokensText } from '@/lib/money'

export function AgentSettingsPage() {
  useTitle('Agent')
  const models = useQuery(modelsQuery)
  const usage = useQuery(usageQuery())
  return (
    <Section
      title="Agent"
      description="What the agent in your workspaces used for you, and whose key pays for it."
    >
      <div className="grid gap-6">
        <Loaded query={usage} what="use" rows={2}>
          {({ person, models: used }) => (
            <>
              <div className="grid gap-3 sm:grid-cols-2">
                <SpanCard title="Today" span={person.day} />
                <SpanCard title="This month" span={person.month} />
              </div>
              {used.length > 0 && <ModelTable rows={used} />}
            </>
          )}
        </Loaded>
        <Loaded query={models} what="your key" rows={1}>
          {(models) => <OwnKey models={models} />}
        </Loaded>
      </div>
    </Section>
  )
}

function SpanCard({ title, span }: { title: string; span: Span }) {
  const { cost, tokens, limitCost = 0, limitTokens = 0 } = span
  return (
    <section aria-label={title} className="grid gap-3 rounded-xl border bg-card p-4 sm:p-5">
      <h2 className="text-[0.8125rem] font-medium text-muted">{title}</h2>
      <Amount
        value={dollars(cost)}
        limit={limitCost > 0 && dollars(limitCost)}
        share={cost / limitCost}
        what="Money"
      />
      <Amount
        value={tokensText(tokens)}
        limit={limitTokens > 0 && shortCount(limitTokens)}
        share={tokens / limitTokens}
        what="Tokens"
      />
    </section>
  )
}

type AmountProps = { value: string; limit: string | false; share: number; what: string }

function Amount({ value, limit, share, what }: AmountProps) {
  const full = Math.min(1, share)
  return (
    <div className="grid gap-1.5">
      <p>
        <span className="text-lg font-semibold tracking-tight">{value}</span>
        {limit && <span className="text-muted"> of {limit}</span>}
      </p>
      {limit && (
        // biome-ignore lint/a11y/useSemanticElements: browsers do not let the parts of their meter be styled alike
        <div
          role="meter"
          aria-label={`${what} used`}
          aria-valuemin={0}
          aria-valuemax={100}
          aria-valuenow={Math.floor(full * 100)}
          className="h-1 overflow-hidden rounded-full bg-input"
        >
          <div
            style={{ width: `${full * 100}%` }}
            className={`h-full rounded-full ${full >= 1 ? 'bg-destructive' : full >= 0.8 ? 'bg-warning' : 'bg-primary'}`}
          />
        </div>
      )}
    </div>
  )
}

function ModelTable({ rows }: { rows: UsageRow[] }) {
  return (
    <UseTable label="By model, this month" first="Model, this month">
      {rows.map(({ id, cost, ownCost, input, output }) => (
        <UseRow
          key={id}
          name={<span className="font-mono text-xs">{id}</span>}
          cost={cost}
          ownCost={ownCost}
          tokens={input + output}
        />
      ))}
    </UseTable>
  )
}

function OwnKey({ models: { configured, ownKeys, ownKey } }: { models: Models }) {
  const end = useQuery({ ...keyQuery, enabled: ownKey }).data?.last
  const [key, setKey] = useState('')
  const [asking, setAsking] = useState(false)
  const change = useOwnKey()
  const fieldError = change.error && !asking ? asProblem(change.error).fields.key : undefined
  const submit = (event: FormEvent) => {
    event.preventDefault()
    change.mutate(key.trim(), { onSuccess: () => setKey('') })
  }
  if (!ownKeys && !ownKey)
    return (
      <Notice tone="info" title="Your own key">
        {configured
          ? 'The installation pays for the agent. Keys of people are turned off here.'
          : 'The agent has no model yet: Kalpana’s operator has to set a key. Keys of people are turned off here.'}
      </Notice>
    )
  return (
    <section aria-labelledby="own-key" className="grid gap-4 rounded-xl border bg-card p-4 sm:p-5">
      <div className="grid gap-1">
        <h2 id="own-key" className="font-medium">
          Your own key
        </h2>
        <p className="max-w-[72ch] text-[0.8125rem] text-muted">
          {configured
            ? 'Without one the installation pays, within your budget. With one your account at the model provider pays.'
            : 'The installation has no key, so the agent needs yours.'}{' '}
          It is kept encrypted, never shown again, and never reaches a workspace.
        </p>
      </div>
      {ownKey && (
        <div className="flex flex-wrap items-center justify-between gap-3 rounded-md border border-input bg-background py-1.5 pr-1.5 pl-3.5">
          <span className="font-mono text-[0.8125rem]">
            <span aria-hidden>•••• {end}</span>
            <span className="sr-only">A key is set{end && `, which ends in ${end}`}</span>
          </span>
          <Button size="sm" onClick={() => setAsking(true)}>
            Remove
          </Button>
        </div>
      )}
      <form onSubmit={submit} className="flex flex-wrap items-end gap-3">
        <div className="min-w-0 flex-1 basis-64">
          <Field
            label={ownKey ? 'Another key' : 'Key'}
            type="password"
            autoComplete="off"
            maxLength={512}
            placeholder="sk-or-…"
            value={key}
            error={fieldError}
            onChange={(event) => setKey(event.target.value)}
          />
        </div>
        <Button type="submit" variant="primary" className="h-10" disabled={change.isPending || !key.trim()}>
          {change.isPending && !asking ? 'Saving…' : 'Save'}
        </Button>
      </form>
      {change.data?.note && <Notice tone="info">{change.data.note}</Notice>}
      {change.error && !fieldError && !asking && (
        <ProblemNotice error={change.error} title="The key was not saved" />
      )}
      {asking && (
        <Confirm
          title="Remove your key?"
          description={
            configured
              ? 'The installation pays for the agent again, within your budget.'
              : 'The agent cannot work for you then.'
          }
          action="Remove it"
          busy="Removing…"
          failed="It was not removed"
          act={change}
          onConfirm={() => change.mutate(undefined, { onSuccess: () => setAsking(false) })}
          onClose={() => setAsking(false)}
        />
      )}
    </section>
  )
}
