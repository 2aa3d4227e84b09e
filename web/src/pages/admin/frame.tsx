import { Link, Outlet } from '@tanstack/react-router'
import type { Me } from '@/api/types'
import { SectionNav } from '@/components/section'
import { Shell } from '@/components/shell'
import { Button } from '@/components/ui/button'
import { useTitle } from '@/lib/hooks'
import { CentredPage, Heading } from '../frame'

export function AdminFrame({ me }: { me: Me }) {
  if (me.role !== 'admin') return <ForAdmins />
  return (
    <Shell me={me}>
      <SectionNav
        label="Administration"
        entries={[
          { to: '/admin/people', text: 'People' },
          { to: '/admin/workspaces', text: 'All workspaces' },
          { to: '/admin/invitations', text: 'Invitations' },
          { to: '/admin/usage', text: 'Agents' },
          { to: '/admin/audit', text: 'Audit log' },
        ]}
      />
      <Outlet />
    </Shell>
  )
}

function ForAdmins() {
  useTitle('For admins')
  return (
    <CentredPage>
      <div className="grid gap-2">
        <Heading>This page is for admins</Heading>
        <p className="text-soft">An admin can make you one, under People.</p>
      </div>
      <Button asChild className="justify-self-start">
        <Link to="/workspaces">See your workspaces</Link>
      </Button>
    </CentredPage>
  )
}
