import { useQuery } from '@tanstack/react-query'
import { Plus } from 'lucide-react'
import { type FormEvent, useState } from 'react'
import { invitationsQuery, peopleQuery, useInvite, useRevokeInvitation } from '@/api/people'
import { asProblem } from '@/api/problem'
import type { Invitation, Role } from '@/api/types'
import { Loaded } from '@/components/loaded'
import { ProblemNotice } from '@/components/problem-notice'
import { Secret } from '@/components/secret'
import { Section } from '@/components/section'
import { TimeAgo, TimeUntil } from '@/components/time-ago'
import { Button } from '@/components/ui/button'
import { Dialog, DialogActions, DialogClose } from '@/components/ui/dialog'
import { Field } from '@/components/ui/field'
import { Dot, Empty, Item, ItemNote, List } from '@/components/ui/list'
import { Select } from '@/components/ui/select'
import { Tag } from '@/components/ui/tag'
import { useTitle } from '@/lib/hooks'
import { asRole, roles } from '@/lib/roles'

export function InvitationsPage() {
  useTitle('Invitations')
  const invitations = useQuery(invitationsQuery)
  const [creating, setCreating] = useState(false)
  const [url, setUrl] = useState<string>()

  return (
    <Section
      title="Invitations"
      description="Links that let somebody in. Each works once; those that were used are not listed."
      action={
        <Button variant="primary" onClick={() => setCreating(true)}>
          <Plus aria-hidden />
          New invitation
        </Button>
      }
    >
      {url && (
        <Secret
          key={url}
          title="The invitation"
          note="Send it to whom you invite. Whoever opens it first comes in with it, and it is not shown again."
          secret={url}
          copy="Copy the link"
          onDone={() => setUrl(undefined)}
        />
      )}
      <Loaded query={invitations} what="invitations">
        {(invitations) =>
          invitations.length === 0 ? (
            <Empty>No invitation is open.</Empty>
          ) : (
            <List label="Invitations">
              {invitations.map((invitation) => (
                <InvitationItem key={invitation.id} invitation={invitation} />
              ))}
            </List>
          )
        }
      </Loaded>
      {creating && (
        <InviteDialog
          onCreated={(url) => {
            setUrl(url)
            setCreating(false)
          }}
          onClose={() => setCreating(false)}
        />
      )}
    </Section>
  )
}

function InvitationItem({ invitation }: { invitation: Invitation }) {
  const revoke = useRevokeInvitation()
  const people = useQuery(peopleQuery).data?.people
  const { id, role, note, by, createdAt, expiresAt } = invitation
  const author = people?.find((person) => person.id === by)?.name
  const name = note || 'No note'
  return (
    <Item
      title={note || <span className="text-muted">{name}</span>}
      tags={role === 'admin' && <Tag tone="warning">Admin</Tag>}
      actions={
        <Button
          size="sm"
          disabled={revoke.isPending}
          aria-label={`Revoke the invitation: ${name}`}
          onClick={() => revoke.mutate(id)}
        >
          {revoke.isPending ? 'Revoking…' : 'Revoke'}
        </Button>
      }
    >
      <ItemNote>
        expires <TimeUntil time={expiresAt} />
        <Dot />
        created <TimeAgo time={createdAt} />
        {author && ` by ${author}`}
      </ItemNote>
      {revoke.error && <ProblemNotice error={revoke.error} title="It was not revoked" />}
    </Item>
  )
}

const day = 24
const lifetimes = [
  { value: `${day}`, text: '1 day' },
  { value: `${3 * day}`, text: '3 days' },
  { value: `${7 * day}`, text: '7 days' },
  { value: `${30 * day}`, text: '30 days' },
]

function InviteDialog({ onCreated, onClose }: { onCreated: (url: string) => void; onClose: () => void }) {
  const [role, setRole] = useState<Role>('member')
  const [note, setNote] = useState('')
  const [lifetime, setLifetime] = useState(`${7 * day}`)
  const invite = useInvite()
  const fieldError = invite.error ? asProblem(invite.error).fields.note : undefined

  const submit = (event: FormEvent) => {
    event.preventDefault()
    const text = note.trim()
    invite.mutate(
      { role, lifetimeHours: Number(lifetime), ...(text && { note: text }) },
      { onSuccess: ({ url }) => onCreated(url) },
    )
  }

  return (
    <Dialog
      open
      onOpenChange={onClose}
      title="New invitation"
      description="Its link is shown once, after this step."
    >
      <form onSubmit={submit} className="grid gap-5">
        <Field
          label="Note (optional)"
          maxLength={200}
          placeholder="Ravi, for the summer"
          value={note}
          error={fieldError}
          note="For you and other admins, to tell invitations apart."
          onChange={(event) => setNote(event.target.value)}
        />
        <div className="grid grid-cols-2 gap-4">
          <Select
            label="Role"
            options={roles}
            value={role}
            onChange={(event) => setRole(asRole(event.target.value))}
          />
          <Select
            label="It lasts"
            options={lifetimes}
            value={lifetime}
            onChange={(event) => setLifetime(event.target.value)}
          />
        </div>
        {invite.error && !fieldError && <ProblemNotice error={invite.error} title="It was not created" />}
        <DialogActions>
          <DialogClose asChild>
            <Button variant="ghost">Cancel</Button>
          </DialogClose>
          <Button type="submit" variant="primary" disabled={invite.isPending}>
            {invite.isPending ? 'Creating…' : 'Create invitation'}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}
