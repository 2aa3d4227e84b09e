import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { methodsQuery, useProvider } from '@/api/login'
import { accountsQuery, useDisconnect } from '@/api/settings'
import type { Account, Method } from '@/api/types'
import { Confirm } from '@/components/confirm'
import { Loaded } from '@/components/loaded'
import { ProblemNotice } from '@/components/problem-notice'
import { Section } from '@/components/section'
import { TimeAgo } from '@/components/time-ago'
import { Button } from '@/components/ui/button'
import { Dot, Empty, Item, ItemNote, List } from '@/components/ui/list'
import { Notice } from '@/components/ui/notice'
import { useTitle } from '@/lib/hooks'
import { loginError } from '@/lib/login-errors'

/** `error` is what the way back from a provider left in the address. */
export function AccountsPage({ error }: { error?: string }) {
  useTitle('Accounts')
  const accounts = useQuery(accountsQuery)
  const methods = useQuery(methodsQuery)
  const fault = error === undefined ? undefined : loginError(error)

  return (
    <Section
      title="Connected accounts"
      description="Accounts elsewhere that sign you in here. Connect a second one, and you get in when the first is lost."
    >
      {fault && (
        <div className="mb-5">
          <Notice title={`The account was not connected: ${fault.title}`}>{fault.text}</Notice>
        </div>
      )}
      <Loaded query={accounts} what="accounts">
        {(accounts) => (
          <Loaded query={methods} what="the ways to sign in">
            {(methods) => <Accounts accounts={accounts} methods={methods} />}
          </Loaded>
        )}
      </Loaded>
    </Section>
  )
}

function Accounts({ accounts, methods }: { accounts: Account[]; methods: Method[] }) {
  const titleOf = (provider: string) => methods.find(({ name }) => name === provider)?.title ?? provider
  const connectable = methods.filter(
    ({ kind, name }) => kind !== 'link' && !accounts.some(({ provider }) => provider === name),
  )
  if (accounts.length === 0 && connectable.length === 0) {
    return (
      <Empty>
        You sign in by links. Your operator has set up no service, such as GitHub, that you could connect.
      </Empty>
    )
  }
  return (
    <List label="Accounts">
      {accounts.map((account) => (
        <AccountItem
          key={`${account.provider}/${account.subject}`}
          account={account}
          title={titleOf(account.provider)}
          last={accounts.length === 1}
        />
      ))}
      {connectable.map((method) => (
        <ConnectItem key={method.name} method={method} />
      ))}
    </List>
  )
}

function AccountItem({ account, title, last }: { account: Account; title: string; last: boolean }) {
  const disconnect = useDisconnect()
  const [asking, setAsking] = useState(false)
  const { provider, subject, login, email, createdAt } = account
  return (
    <Item
      title={title}
      actions={
        !last && (
          <Button size="sm" aria-label={`Disconnect ${title}`} onClick={() => setAsking(true)}>
            Disconnect
          </Button>
        )
      }
    >
      <ItemNote>
        <span className="text-soft">{login}</span>
        {email && email !== login && (
          <>
            <Dot />
            {email}
          </>
        )}
        <Dot />
        connected <TimeAgo time={createdAt} />
      </ItemNote>
      {last && (
        <ItemNote>It is your only account, so it cannot be disconnected. Connect another one first.</ItemNote>
      )}
      {asking && (
        <Confirm
          title={`Disconnect ${title}?`}
          description={`${login} signs you in no more, and the browsers that it signed in are signed out, but this one. Your other accounts still let you in.`}
          action="Disconnect it"
          busy="Disconnecting…"
          failed="It was not disconnected"
          act={disconnect}
          onConfirm={() => disconnect.mutate({ provider, subject }, { onSuccess: () => setAsking(false) })}
          onClose={() => setAsking(false)}
        />
      )}
    </Item>
  )
}

function ConnectItem({ method: { name, title } }: { method: Method }) {
  const provider = useProvider()
  return (
    <Item
      title={title}
      actions={
        <Button
          size="sm"
          disabled={provider.going}
          aria-label={`Connect ${title}`}
          onClick={() => provider.mutate({ provider: name, connect: true, next: '/settings/accounts' })}
        >
          {provider.going ? 'Connecting…' : 'Connect'}
        </Button>
      }
    >
      <ItemNote>not connected</ItemNote>
      {provider.error && <ProblemNotice error={provider.error} />}
    </Item>
  )
}
