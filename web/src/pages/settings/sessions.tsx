import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { methodsQuery } from '@/api/login'
import { sessionsQuery, useEndOtherSessions, useEndSession } from '@/api/settings'
import type { Session } from '@/api/types'
import { Confirm } from '@/components/confirm'
import { Loaded } from '@/components/loaded'
import { ProblemNotice } from '@/components/problem-notice'
import { Section } from '@/components/section'
import { TimeAgo } from '@/components/time-ago'
import { Button } from '@/components/ui/button'
import { Dot, Item, ItemNote, List } from '@/components/ui/list'
import { Tag } from '@/components/ui/tag'
import { agentName } from '@/lib/agent'
import { useTitle } from '@/lib/hooks'

export function SessionsPage() {
  useTitle('Sessions')
  const sessions = useQuery(sessionsQuery)
  const endOthers = useEndOtherSessions()
  const [asking, setAsking] = useState(false)
  const others = sessions.data?.some(({ current }) => !current)

  return (
    <Section
      title="Sessions"
      description="The browsers that are signed in as you. Ending a session also closes the workspaces that are open there."
      action={others && <Button onClick={() => setAsking(true)}>Sign out all others</Button>}
    >
      <Loaded query={sessions} what="sessions">
        {(sessions) => (
          <List label="Sessions">
            {sessions.map((session) => (
              <SessionItem key={session.id} session={session} />
            ))}
          </List>
        )}
      </Loaded>
      {asking && (
        <Confirm
          title="Sign out all other browsers?"
          description="Each of them has to sign in again. This one stays signed in."
          action="Sign out all others"
          busy="Signing out…"
          failed="They were not signed out"
          act={endOthers}
          onConfirm={() => endOthers.mutate(undefined, { onSuccess: () => setAsking(false) })}
          onClose={() => setAsking(false)}
        />
      )}
    </Section>
  )
}

function SessionItem({ session }: { session: Session }) {
  const end = useEndSession()
  const methods = useQuery(methodsQuery).data
  const provider = methods?.find((method) => method.name === session.provider)?.title
  const name = agentName(session.userAgent)
  return (
    <Item
      title={<span title={session.userAgent}>{name}</span>}
      tags={session.current && <Tag tone="good">This browser</Tag>}
      actions={
        !session.current && (
          <Button
            size="sm"
            disabled={end.isPending}
            aria-label={`Sign out ${name}, ${session.address}`}
            onClick={() => end.mutate(session.id)}
          >
            {end.isPending ? 'Signing out…' : 'Sign out'}
          </Button>
        )
      }
    >
      <ItemNote>
        <span className="font-mono text-xs break-all">{session.address}</span>
        <Dot />
        last seen <TimeAgo time={session.seenAt} />
        <Dot />
        signed in <TimeAgo time={session.createdAt} />
        {session.provider === 'link' ? ' by a link' : ` with ${provider ?? session.provider}`}
      </ItemNote>
      {end.error && <ProblemNotice error={end.error} title="It was not signed out" />}
    </Item>
  )
}
