import { useQuery } from '@tanstack/react-query'
import { Plus } from 'lucide-react'
import { type FormEvent, useState } from 'react'
import { asProblem } from '@/api/problem'
import {
  gitIdentityQuery,
  gitTokensQuery,
  useDeleteGitToken,
  useSetGitIdentity,
  useSetGitToken,
} from '@/api/settings'
import type { GitIdentity, GitToken } from '@/api/types'
import { Confirm } from '@/components/confirm'
import { Loaded } from '@/components/loaded'
import { ProblemNotice } from '@/components/problem-notice'
import { Section } from '@/components/section'
import { TimeAgo } from '@/components/time-ago'
import { Button } from '@/components/ui/button'
import { Dialog, DialogActions, DialogClose } from '@/components/ui/dialog'
import { Field } from '@/components/ui/field'
import { Dot, Empty, Item, ItemNote, List } from '@/components/ui/list'
import { useTitle } from '@/lib/hooks'

export function GitPage() {
  useTitle('Git servers')
  const tokens = useQuery(gitTokensQuery)
  const [adding, setAdding] = useState(false)
  return (
    <Section
      title="Git servers"
      description="Git in your workspaces signs in with these when it needs to. A workspace gets one for the repository it was made from at once, and for another one only after you said so here. The tokens stay on this server, encrypted."
      action={
        <Button variant="primary" onClick={() => setAdding(true)}>
          <Plus aria-hidden />
          Add a token
        </Button>
      }
    >
      <Loaded query={tokens} what="git servers">
        {(tokens) =>
          tokens.length === 0 ? (
            <Empty>No tokens yet. Public repositories need none to be read.</Empty>
          ) : (
            <List label="Git servers">
              {tokens.map((token) => (
                <ServerItem key={token.server} token={token} />
              ))}
            </List>
          )
        }
      </Loaded>
      {adding && <AddDialog onClose={() => setAdding(false)} />}
      <Committer />
    </Section>
  )
}

/** In whose name commits are. */
function Committer() {
  const identity = useQuery(gitIdentityQuery)
  return (
    <section aria-labelledby="committer" className="mt-10 grid max-w-xl gap-4">
      <div className="grid gap-0.5">
        <h2 id="committer" className="text-lg font-semibold tracking-tight">
          Your name on commits
        </h2>
        <p className="text-pretty text-muted">
          Git in your workspaces, and the agent, commit with it. What you configure in a workspace yourself
          counts instead.
        </p>
      </div>
      <Loaded query={identity} what="your name on commits">
        {(identity) => <CommitterForm identity={identity} />}
      </Loaded>
    </section>
  )
}

function CommitterForm({ identity }: { identity: GitIdentity }) {
  const [name, setName] = useState(identity.name)
  const [email, setEmail] = useState(identity.email)
  const save = useSetGitIdentity()
  const fields = save.error ? asProblem(save.error).fields : {}
  const changed = name.trim() !== identity.name || email.trim() !== identity.email
  const submit = (event: FormEvent) => {
    event.preventDefault()
    save.mutate({ name: name.trim(), email: email.trim() })
  }
  return (
    <form onSubmit={submit} className="grid gap-5" autoComplete="off">
      <Field
        label="Name"
        maxLength={64}
        placeholder={identity.defaultName}
        value={name}
        error={fields.name}
        onChange={(event) => setName(event.target.value)}
      />
      <Field
        label="E-mail address"
        maxLength={254}
        placeholder={identity.defaultEmail}
        note={!identity.defaultEmail && !email && 'Without one, git asks for it before the first commit.'}
        value={email}
        error={fields.email}
        onChange={(event) => setEmail(event.target.value)}
      />
      {save.error && !fields.name && !fields.email && (
        <ProblemNotice error={save.error} title="It was not saved" />
      )}
      <div>
        <Button type="submit" variant="primary" disabled={save.isPending || !changed}>
          {save.isPending ? 'Saving…' : 'Save'}
        </Button>
      </div>
    </form>
  )
}

function ServerItem({ token: { server, username, updatedAt } }: { token: GitToken }) {
  const forget = useDeleteGitToken()
  const [asking, setAsking] = useState(false)
  return (
    <Item
      title={server}
      actions={
        <Button size="sm" aria-label={`Forget ${server}`} onClick={() => setAsking(true)}>
          Forget
        </Button>
      }
    >
      <ItemNote>
        {username && (
          <>
            as {username}
            <Dot />
          </>
        )}
        set <TimeAgo time={updatedAt} />
      </ItemNote>
      {asking && (
        <Confirm
          title={`Forget the token for ${server}?`}
          description="Your workspaces no longer sign in there with it. Revoke it at the server too, if nobody needs it any more."
          action="Forget it"
          busy="Forgetting…"
          failed="It is still there"
          act={forget}
          onConfirm={() => forget.mutate(server, { onSuccess: () => setAsking(false) })}
          onClose={() => setAsking(false)}
        />
      )}
    </Item>
  )
}

function AddDialog({ onClose }: { onClose: () => void }) {
  const [server, setServer] = useState('')
  const [username, setUsername] = useState('')
  const [token, setToken] = useState('')
  const save = useSetGitToken()
  const fields = save.error ? asProblem(save.error).fields : {}
  const explained = fields.server || fields.username || fields.token
  const submit = (event: FormEvent) => {
    event.preventDefault()
    save.mutate(
      { server: server.trim(), username: username.trim(), token: token.trim() },
      { onSuccess: onClose },
    )
  }
  return (
    <Dialog
      open
      onOpenChange={onClose}
      title="Token for a git server"
      description="Make it in the server's own settings. Give it access to the repositories you work on, and no more."
    >
      <form onSubmit={submit} className="grid gap-5" autoComplete="off">
        <Field
          label="Server"
          required
          maxLength={300}
          placeholder="https://github.com"
          value={server}
          error={fields.server}
          onChange={(event) => setServer(event.target.value)}
        />
        <Field
          label="User name, where the server wants one"
          maxLength={128}
          value={username}
          error={fields.username}
          onChange={(event) => setUsername(event.target.value)}
        />
        <Field
          label="Token"
          type="password"
          required
          maxLength={1024}
          value={token}
          error={fields.token}
          onChange={(event) => setToken(event.target.value)}
        />
        {save.error && !explained && <ProblemNotice error={save.error} title="It was not saved" />}
        <DialogActions>
          <DialogClose asChild>
            <Button variant="ghost">Cancel</Button>
          </DialogClose>
          <Button
            type="submit"
            variant="primary"
            disabled={save.isPending || !server.trim() || !token.trim()}
          >
            {save.isPending ? 'Saving…' : 'Save'}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}
