import { useQuery } from '@tanstack/react-query'
import { Plus } from 'lucide-react'
import { type FormEvent, useState } from 'react'
import { asProblem } from '@/api/problem'
import { tokensQuery, useCreateToken, useRevokeToken } from '@/api/settings'
import type { Me, Scope, Token } from '@/api/types'
import { Confirm } from '@/components/confirm'
import { Loaded } from '@/components/loaded'
import { ProblemNotice } from '@/components/problem-notice'
import { Secret } from '@/components/secret'
import { Section } from '@/components/section'
import { TimeAgo, TimeUntil } from '@/components/time-ago'
import { Button } from '@/components/ui/button'
import { Checkbox } from '@/components/ui/checkbox'
import { Dialog, DialogActions, DialogClose } from '@/components/ui/dialog'
import { Field } from '@/components/ui/field'
import { Dot, Empty, Item, ItemNote, List } from '@/components/ui/list'
import { Select } from '@/components/ui/select'
import { Tag } from '@/components/ui/tag'
import { useNow, useTitle } from '@/lib/hooks'
import { lifetimes, scopesFor, scopeTitle } from '@/lib/scopes'

export function TokensPage({ me }: { me: Me }) {
  useTitle('API tokens')
  const tokens = useQuery(tokensQuery)
  const [creating, setCreating] = useState(false)
  const [made, setMade] = useState<{ name: string; token: string }>()

  return (
    <Section
      title="API tokens"
      description="A token lets a program act for you, within its scopes and until it expires."
      action={
        <Button variant="primary" onClick={() => setCreating(true)}>
          <Plus aria-hidden />
          New token
        </Button>
      }
    >
      {made && (
        <Secret
          title={`The token ${made.name}`}
          note="Copy it now: it is not shown again. A program sends it as Authorization: Bearer, followed by the token."
          secret={made.token}
          copy="Copy the token"
          onDone={() => setMade(undefined)}
        />
      )}
      <Loaded query={tokens} what="tokens">
        {(tokens) =>
          tokens.length === 0 ? (
            <Empty>No tokens yet. You need one for scripts and other programs only.</Empty>
          ) : (
            <List label="API tokens">
              {tokens.map((token) => (
                <TokenItem key={token.id} token={token} />
              ))}
            </List>
          )
        }
      </Loaded>
      {creating && (
        <CreateDialog
          me={me}
          onCreated={(token) => {
            setMade(token)
            setCreating(false)
          }}
          onClose={() => setCreating(false)}
        />
      )}
    </Section>
  )
}

function TokenItem({ token }: { token: Token }) {
  const revoke = useRevokeToken()
  const [asking, setAsking] = useState(false)
  const expired = Date.parse(token.expiresAt) <= useNow()
  return (
    <Item
      title={token.name}
      tags={expired && <Tag tone="warning">Expired</Tag>}
      actions={
        <Button size="sm" aria-label={`Revoke ${token.name}`} onClick={() => setAsking(true)}>
          Revoke
        </Button>
      }
    >
      <ItemNote>{token.scopes.map(scopeTitle).join(', ')}</ItemNote>
      <ItemNote>
        {token.usedAt ? (
          <>
            last used <TimeAgo time={token.usedAt} />
          </>
        ) : (
          'not used yet'
        )}
        <Dot />
        {expired ? (
          <>
            expired <TimeAgo time={token.expiresAt} />
          </>
        ) : (
          <>
            expires <TimeUntil time={token.expiresAt} />
          </>
        )}
        <Dot />
        created <TimeAgo time={token.createdAt} />
      </ItemNote>
      {asking && (
        <Confirm
          title={`Revoke ${token.name}?`}
          description="Programs that use it are refused from then on. This cannot be undone."
          action="Revoke it"
          busy="Revoking…"
          failed="It was not revoked"
          act={revoke}
          onConfirm={() => revoke.mutate(token.id, { onSuccess: () => setAsking(false) })}
          onClose={() => setAsking(false)}
        />
      )}
    </Item>
  )
}

type CreateProps = {
  me: Me
  onCreated: (token: { name: string; token: string }) => void
  onClose: () => void
}

function CreateDialog({ me, onCreated, onClose }: CreateProps) {
  const [name, setName] = useState('')
  const [chosen, setChosen] = useState<Scope[]>([])
  const [lifetime, setLifetime] = useState('720')
  const create = useCreateToken()
  const fieldError = create.error ? asProblem(create.error).fields.name : undefined

  const submit = (event: FormEvent) => {
    event.preventDefault()
    create.mutate(
      { name: name.trim(), scopes: chosen, lifetimeHours: Number(lifetime) },
      { onSuccess: onCreated },
    )
  }
  const choose = (scope: Scope, on: boolean) =>
    setChosen(on ? [...chosen, scope] : chosen.filter((one) => one !== scope))

  return (
    <Dialog
      open
      onOpenChange={onClose}
      title="New API token"
      description="It is shown once, after this step."
    >
      <form onSubmit={submit} className="grid gap-5">
        <Field
          label="Name"
          required
          maxLength={64}
          placeholder="nightly backup"
          value={name}
          error={fieldError}
          onChange={(event) => setName(event.target.value)}
        />
        <fieldset className="grid gap-3">
          <legend className="mb-2 text-[0.8125rem] font-medium">It may</legend>
          {scopesFor(me).map(({ scope, title, note }) => (
            <Checkbox
              key={scope}
              label={title}
              note={note}
              checked={chosen.includes(scope)}
              onChange={(on) => choose(scope, on)}
            />
          ))}
        </fieldset>
        <Select
          label="It lasts"
          options={lifetimes}
          value={lifetime}
          onChange={(event) => setLifetime(event.target.value)}
        />
        {create.error && !fieldError && <ProblemNotice error={create.error} title="It was not created" />}
        <DialogActions>
          <DialogClose asChild>
            <Button variant="ghost">Cancel</Button>
          </DialogClose>
          <Button
            type="submit"
            variant="primary"
            disabled={create.isPending || !name.trim() || chosen.length === 0}
          >
            {create.isPending ? 'Creating…' : 'Create token'}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}
