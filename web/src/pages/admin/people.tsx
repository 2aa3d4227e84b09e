import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { Boxes, EllipsisVertical, Gauge, History, Link as LinkIcon, UserCheck, UserX } from 'lucide-react'
import { useState } from 'react'
import { methodsQuery } from '@/api/login'
import { peopleQuery, useChangePerson, useSignInLink } from '@/api/people'
import type { Me, Person, Quota } from '@/api/types'
import { Confirm } from '@/components/confirm'
import { Loaded } from '@/components/loaded'
import { ProblemNotice } from '@/components/problem-notice'
import { QuotaDialog } from '@/components/quota-dialog'
import { SearchField, searchFrom } from '@/components/search-field'
import { Secret } from '@/components/secret'
import { Section } from '@/components/section'
import { TimeAgo } from '@/components/time-ago'
import { Button } from '@/components/ui/button'
import { Dot, Empty, Item, ItemNote, List } from '@/components/ui/list'
import { Menu, MenuItem, MenuSeparator } from '@/components/ui/menu'
import { Select } from '@/components/ui/select'
import { Tag } from '@/components/ui/tag'
import { hasWords } from '@/lib/find'
import { useTitle } from '@/lib/hooks'
import { quotaText } from '@/lib/quota'
import { asRole, roles } from '@/lib/roles'

export function PeoplePage({ me }: { me: Me }) {
  useTitle('People')
  const people = useQuery(peopleQuery)
  const links = useQuery(methodsQuery).data?.some(({ kind }) => kind === 'link') ?? false
  const [words, setWords] = useState('')
  const [link, setLink] = useState<{ name: string; url: string }>()

  return (
    <Section
      title="People"
      description="Everybody who has an account here. Admins see this part of the console; members have workspaces only."
      action={
        <Button asChild variant="primary">
          <Link to="/admin/invitations">Invite someone</Link>
        </Button>
      }
    >
      {link && (
        <Secret
          key={link.url}
          title={`A sign-in link for ${link.name}`}
          note="Whoever opens it is signed in as this person. It works once, for a short time, and is not shown again."
          secret={link.url}
          copy="Copy the link"
          onDone={() => setLink(undefined)}
        />
      )}
      <Loaded query={people} what="people">
        {({ people, defaults }) => {
          const found = people.filter(({ name, email, role }) => hasWords(words, name, email, role))
          return (
            <>
              {people.length >= searchFrom && (
                <SearchField
                  label="Find people"
                  placeholder="Name, e-mail or role"
                  value={words}
                  onChange={setWords}
                />
              )}
              {found.length === 0 && <Empty>Nobody has these words.</Empty>}
              {found.length > 0 && (
                <List label="People">
                  {found.map((person) => (
                    <PersonItem
                      key={person.id}
                      person={person}
                      defaults={defaults}
                      self={person.id === me.id}
                      links={links}
                      onLink={(url) => setLink({ name: person.name, url })}
                    />
                  ))}
                </List>
              )}
            </>
          )
        }}
      </Loaded>
    </Section>
  )
}

/** `links`: people may sign in by link here. */
type ItemProps = {
  person: Person
  defaults: Quota
  self: boolean
  links: boolean
  onLink: (url: string) => void
}

function PersonItem({ person, defaults, self, links, onLink }: ItemProps) {
  const change = useChangePerson()
  const signInLink = useSignInLink()
  const [dialog, setDialog] = useState<'quota' | 'disable'>()
  const { id, name, email, role, disabled, byRule, createdAt } = person
  const quota = quotaText(person.quota)
  const close = () => setDialog(undefined)

  return (
    <Item
      title={name}
      tags={
        <>
          {self && <Tag tone="good">You</Tag>}
          {disabled && <Tag tone="bad">Disabled</Tag>}
        </>
      }
      actions={
        <>
          <Select
            label={`Role of ${name}`}
            hideLabel
            options={roles}
            value={role}
            disabled={self || change.isPending}
            onChange={(event) => change.mutate({ id, role: asRole(event.target.value) })}
          />
          <Menu
            trigger={
              <Button variant="ghost" size="icon" aria-label={`More for ${name}`}>
                <EllipsisVertical aria-hidden />
              </Button>
            }
          >
            {links && (
              <MenuItem
                disabled={disabled || signInLink.isPending}
                onSelect={() => signInLink.mutate(id, { onSuccess: ({ url }) => onLink(url) })}
              >
                <LinkIcon aria-hidden />
                Make a sign-in link
              </MenuItem>
            )}
            <MenuItem onSelect={() => setDialog('quota')}>
              <Gauge aria-hidden />
              Change the quota
            </MenuItem>
            <MenuItem asChild>
              <Link to="/admin/workspaces" search={{ owner: id }}>
                <Boxes aria-hidden />
                Show their workspaces
              </Link>
            </MenuItem>
            <MenuItem asChild>
              <Link to="/admin/audit" search={{ person: id }}>
                <History aria-hidden />
                Show in the audit log
              </Link>
            </MenuItem>
            {!self && <MenuSeparator />}
            {!self && disabled && (
              <MenuItem onSelect={() => change.mutate({ id, disabled: false })}>
                <UserCheck aria-hidden />
                Enable
              </MenuItem>
            )}
            {!self && !disabled && (
              <MenuItem danger onSelect={() => setDialog('disable')}>
                <UserX aria-hidden />
                Disable
              </MenuItem>
            )}
          </Menu>
        </>
      }
    >
      <ItemNote>
        {email && (
          <>
            {email}
            <Dot />
          </>
        )}
        here since <TimeAgo time={createdAt} />
        {byRule && (
          <>
            <Dot />
            let in by a rule
          </>
        )}
      </ItemNote>
      {quota && <ItemNote>Quota: {quota}</ItemNote>}
      {change.error && !dialog && <ProblemNotice error={change.error} title={`${name} was not changed`} />}
      {signInLink.error && <ProblemNotice error={signInLink.error} title="No link was made" />}
      {dialog === 'quota' && <QuotaDialog person={person} defaults={defaults} onClose={close} />}
      {dialog === 'disable' && (
        <Confirm
          title={`Disable ${name}?`}
          description="Their sessions and API tokens end at once, and what they have open closes. Workspaces and files are kept, and you can enable them again."
          action="Disable"
          busy="Disabling…"
          failed={`${name} was not disabled`}
          act={change}
          onConfirm={() => change.mutate({ id, disabled: true }, { onSuccess: close })}
          onClose={close}
        />
      )}
    </Item>
  )
}
