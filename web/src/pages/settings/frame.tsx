import { Outlet } from '@tanstack/react-router'
import type { Me } from '@/api/types'
import { SectionNav } from '@/components/section'
import { Shell } from '@/components/shell'

export function SettingsFrame({ me }: { me: Me }) {
  return (
    <Shell me={me}>
      <SectionNav
        label="Settings"
        entries={[
          { to: '/settings/sessions', text: 'Sessions' },
          { to: '/settings/tokens', text: 'API tokens' },
          { to: '/settings/accounts', text: 'Accounts' },
          { to: '/settings/git', text: 'Git servers' },
          { to: '/settings/agent', text: 'Agent' },
        ]}
      />
      <Outlet />
    </Shell>
  )
}
