import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { RadioGroup } from 'radix-ui'
import { type FormEvent, useState } from 'react'
import { asProblem } from '@/api/problem'
import { templatesQuery, useCreate, useWorkspaces } from '@/api/queries'
import type { Me, Template } from '@/api/types'
import { ProblemNotice } from '@/components/problem-notice'
import { Shell } from '@/components/shell'
import { Button } from '@/components/ui/button'
import { Field } from '@/components/ui/field'
import { useTitle } from '@/lib/hooks'
import { suggestName } from '@/lib/names'
import { repositoryAddress, repositoryName } from '@/lib/repository'

// The same function on each render, so that it runs once, when the element appears.
const reveal = (element: HTMLElement | null) => element?.scrollIntoView({ block: 'nearest' })

const shown = ['name', 'repository', 'template']

export function NewWorkspacePage({ me }: { me: Me }) {
  useTitle('New workspace')
  const templates = useQuery(templatesQuery)
  return (
    <Shell me={me}>
      <div className="mx-auto max-w-3xl">
        <h1 className="mb-6 text-xl font-semibold tracking-tight">New workspace</h1>
        {templates.data && <NewWorkspaceForm templates={templates.data} />}
        {templates.error && !templates.data && (
          <ProblemNotice
            error={templates.error}
            action={
              <Button size="sm" onClick={() => void templates.refetch()}>
                Try again
              </Button>
            }
          />
        )}
      </div>
    </Shell>
  )
}

function NewWorkspaceForm({ templates }: { templates: Template[] }) {
  const { data: workspaces } = useWorkspaces()
  const taken = workspaces?.map((workspace) => workspace.name) ?? []
  const [suggested] = useState(() => suggestName(taken))
  const [chosen, setName] = useState<string>()
  const [repository, setRepository] = useState('')
  const [template, setTemplate] = useState(templates[0]?.name ?? '')
  const create = useCreate()
  const navigate = useNavigate()

  const name = chosen ?? (repositoryName(repository) || suggested)

  const problem = create.error ? asProblem(create.error) : undefined
  const fields = problem?.fields ?? {}
  const general = problem && !shown.some((field) => fields[field])

  const submit = (event: FormEvent) => {
    event.preventDefault()
    const url = repositoryAddress(repository)
    setRepository(url)
    create.mutate(
      { name: name.trim(), template, ...(url && { repository: url }) },
      { onSuccess: ({ id }) => navigate({ to: '/w/$id', params: { id } }) },
    )
  }

  return (
    <form onSubmit={submit} className="grid gap-7">
      <TemplatePicker templates={templates} value={template} onChange={setTemplate} error={fields.template} />
      <div className="grid gap-5 sm:max-w-xl">
        <Field
          label="Name"
          required
          value={name}
          error={fields.name}
          note={taken.includes(name.trim()) && 'You have a workspace of this name already.'}
          onChange={(event) => setName(event.target.value)}
        />
        <Field
          label="Repository (optional)"
          inputMode="url"
          placeholder="https://github.com/owner/project"
          value={repository}
          error={fields.repository}
          note={
            <>
              It is cloned on the first start. For a private one, first add a token under{' '}
              <Link to="/settings/git" className="underline hover:text-foreground">
                Git servers
              </Link>
              .
            </>
          }
          onChange={(event) => setRepository(event.target.value)}
          onBlur={() => setRepository(repositoryAddress(repository))}
        />
      </div>
      {general && (
        <div ref={reveal} className="scroll-my-20">
          <ProblemNotice
            error={problem}
            title="The workspace was not created"
            action={manage(problem.status)}
          />
        </div>
      )}
      <div className="flex gap-2">
        <Button type="submit" variant="primary" disabled={create.isPending || !template}>
          {create.isPending ? 'Creating…' : 'Create workspace'}
        </Button>
        <Button asChild variant="ghost">
          <Link to="/workspaces">Cancel</Link>
        </Button>
      </div>
    </form>
  )
}

/** A refusal (the limit, say) is most often lifted by deleting a workspace. */
function manage(status: number) {
  if (status !== 403 && status !== 409) return undefined
  return (
    <Button asChild size="sm">
      <Link to="/workspaces">See your workspaces</Link>
    </Button>
  )
}

type PickerProps = { templates: Template[]; value: string; onChange: (value: string) => void; error?: string }

function TemplatePicker({ templates, value, onChange, error }: PickerProps) {
  return (
    <fieldset className="grid gap-2">
      <legend className="mb-2 text-[0.8125rem] font-medium">Template</legend>
      <RadioGroup.Root
        value={value}
        onValueChange={onChange}
        aria-label="Template"
        className="grid gap-2.5 sm:grid-cols-2 lg:grid-cols-3"
      >
        {templates.map((template) => (
          <RadioGroup.Item
            key={template.name}
            value={template.name}
            aria-labelledby={`template-${template.name}`}
            aria-describedby={`template-${template.name}-note`}
            className="group grid content-start gap-1 rounded-lg border border-input bg-card p-4 text-left transition-colors hover:bg-hover data-[state=checked]:border-primary data-[state=checked]:bg-primary/6"
          >
            <span className="flex items-center justify-between gap-2 font-medium">
              <span id={`template-${template.name}`}>{template.title}</span>
              <span
                aria-hidden
                className="grid size-4 shrink-0 place-items-center rounded-full border border-muted group-data-[state=checked]:border-primary"
              >
                <RadioGroup.Indicator className="size-2 rounded-full bg-primary" />
              </span>
            </span>
            <span id={`template-${template.name}-note`} className="text-[0.8125rem] text-soft">
              {template.description}
            </span>
            {template.ports && template.ports.length > 0 && (
              <span className="mt-1 font-mono text-xs text-muted">
                {template.ports.length === 1 ? 'port' : 'ports'} {template.ports.join(', ')}
              </span>
            )}
          </RadioGroup.Item>
        ))}
      </RadioGroup.Root>
      {error && (
        <p role="alert" className="text-[0.8125rem] text-destructive">
          {error}
        </p>
      )}
    </fieldset>
  )
}
