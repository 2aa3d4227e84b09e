import type { QueryClient } from '@tanstack/react-query'
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  Outlet,
  redirect,
} from '@tanstack/react-router'
import { methodsQuery } from './api/login'
import { meQuery } from './api/queries'
import { ConnectionBanner } from './components/connection-banner'
import { GitQuestions } from './components/git-questions'
import { LiveUpdates } from './components/live-updates'
import { auditSearch } from './lib/audit'
import { forgetNext } from './lib/next'
import { usageSearch } from './lib/usage'
import { AuditPage } from './pages/admin/audit'
import { AdminFrame } from './pages/admin/frame'
import { InvitationsPage } from './pages/admin/invitations'
import { PeoplePage } from './pages/admin/people'
import { UsagePage } from './pages/admin/usage'
import { AllWorkspacesPage } from './pages/admin/workspaces'
import { ErrorPage, NotFoundPage, WorkspaceGonePage } from './pages/failure'
import { InvitePage } from './pages/invite'
import { LandingPage } from './pages/landing'
import { LinkPage } from './pages/link'
import { NewWorkspacePage } from './pages/new-workspace'
import { AccountsPage } from './pages/settings/accounts'
import { AgentSettingsPage } from './pages/settings/agent'
import { SettingsFrame } from './pages/settings/frame'
import { GitPage } from './pages/settings/git'
import { SessionsPage } from './pages/settings/sessions'
import { TokensPage } from './pages/settings/tokens'
import { WorkspacePage } from './pages/workspace'
import { WorkspacesPage } from './pages/workspaces'

type Context = { client: QueryClient }

/** Of the query, those of `names` that are text. */
const texts =
  <N extends string>(...names: N[]) =>
  (search: Record<string, unknown>): { [name in N]?: string } => {
    const found: { [name in N]?: string } = {}
    for (const name of names) {
      const value = search[name]
      if (typeof value === 'string') found[name] = value
    }
    return found
  }

const nextAndError = texts('next', 'error')

const root = createRootRouteWithContext<Context>()({ component: Outlet })

// The ways to sign in are there before the page is, so that it does not jump. A failure is the page's to tell.
const loadMethods = ({ context }: { context: Context }) =>
  context.client.prefetchQuery({ ...methodsQuery, retry: false })

const landing = createRoute({
  getParentRoute: () => root,
  path: '/',
  beforeLoad: async ({ context }) => {
    if (await context.client.ensureQueryData(meQuery)) throw redirect({ to: '/workspaces', replace: true })
  },
  loader: loadMethods,
  component: () => <LandingPage />,
})

const login = createRoute({
  getParentRoute: () => root,
  path: '/login',
  validateSearch: nextAndError,
  beforeLoad: async ({ context, search: { error } }) => {
    // Someone who is signed in and comes back with an error wanted to connect an account.
    if (error !== undefined && (await context.client.ensureQueryData(meQuery)))
      throw redirect({ to: '/settings/accounts', search: { error }, replace: true })
  },
  loader: loadMethods,
  component: () => <LandingPage {...login.useSearch()} />,
})

const link = createRoute({
  getParentRoute: () => root,
  path: '/login/link',
  validateSearch: texts('next'),
  component: () => <LinkPage next={link.useSearch().next} />,
})

const invite = createRoute({
  getParentRoute: () => root,
  path: '/invite',
  loader: ({ context: { client } }) =>
    Promise.all([
      client.prefetchQuery({ ...methodsQuery, retry: false }),
      client.prefetchQuery({ ...meQuery, retry: false }),
    ]),
  component: InvitePage,
})

/** The server answers here itself; it shows this app where there is no workspace to hand over to. */
const handoff = createRoute({ getParentRoute: () => root, path: '/handoff', component: WorkspaceGonePage })

/** Everything that needs someone signed in. */
const inside = createRoute({
  getParentRoute: () => root,
  id: 'inside',
  beforeLoad: async ({ context, location }) => {
    const me = await context.client.ensureQueryData(meQuery)
    if (!me) throw redirect({ to: '/login', search: { next: location.href }, replace: true })
    forgetNext()
    return { me }
  },
  component: () => (
    <div className="flex min-h-dvh flex-col">
      <LiveUpdates />
      <ConnectionBanner />
      <GitQuestions />
      <Outlet />
    </div>
  ),
})

const workspaces = createRoute({
  getParentRoute: () => inside,
  path: '/workspaces',
  validateSearch: texts('q'),
  component: () => <WorkspacesPage me={workspaces.useRouteContext().me} q={workspaces.useSearch().q} />,
})

const newWorkspace = createRoute({
  getParentRoute: () => inside,
  path: '/workspaces/new',
  component: () => <NewWorkspacePage me={newWorkspace.useRouteContext().me} />,
})

const workspace = createRoute({
  getParentRoute: () => inside,
  path: '/w/$id',
  component: () => <WorkspacePage id={workspace.useParams().id} />,
})

const settings = createRoute({
  getParentRoute: () => inside,
  path: '/settings',
  component: () => <SettingsFrame me={settings.useRouteContext().me} />,
})

const settingsIndex = createRoute({
  getParentRoute: () => settings,
  path: '/',
  beforeLoad: () => {
    throw redirect({ to: '/settings/sessions', replace: true })
  },
})

const sessions = createRoute({ getParentRoute: () => settings, path: 'sessions', component: SessionsPage })

const tokens = createRoute({
  getParentRoute: () => settings,
  path: 'tokens',
  component: () => <TokensPage me={tokens.useRouteContext().me} />,
})

const accounts = createRoute({
  getParentRoute: () => settings,
  path: 'accounts',
  validateSearch: texts('error'),
  component: () => <AccountsPage {...accounts.useSearch()} />,
})

const git = createRoute({ getParentRoute: () => settings, path: 'git', component: GitPage })

const agentSettings = createRoute({
  getParentRoute: () => settings,
  path: 'agent',
  component: AgentSettingsPage,
})

const admin = createRoute({
  getParentRoute: () => inside,
  path: '/admin',
  component: () => <AdminFrame me={admin.useRouteContext().me} />,
})

const adminIndex = createRoute({
  getParentRoute: () => admin,
  path: '/',
  beforeLoad: () => {
    throw redirect({ to: '/admin/people', replace: true })
  },
})

const people = createRoute({
  getParentRoute: () => admin,
  path: 'people',
  component: () => <PeoplePage me={people.useRouteContext().me} />,
})

const allWorkspaces = createRoute({
  getParentRoute: () => admin,
  path: 'workspaces',
  validateSearch: texts('owner', 'q'),
  component: () => <AllWorkspacesPage {...allWorkspaces.useSearch()} />,
})

const invitations = createRoute({
  getParentRoute: () => admin,
  path: 'invitations',
  component: InvitationsPage,
})

const usage = createRoute({
  getParentRoute: () => admin,
  path: 'usage',
  validateSearch: usageSearch,
  component: () => <UsagePage {...usage.useSearch()} />,
})

const audit = createRoute({
  getParentRoute: () => admin,
  path: 'audit',
  validateSearch: auditSearch,
  component: () => <AuditPage filter={audit.useSearch()} />,
})

const routeTree = root.addChildren([
  landing,
  login,
  link,
  invite,
  handoff,
  inside.addChildren([
    workspaces,
    newWorkspace,
    workspace,
    settings.addChildren([settingsIndex, sessions, tokens, accounts, git, agentSettings]),
    admin.addChildren([adminIndex, people, allWorkspaces, invitations, usage, audit]),
  ]),
])

export function makeRouter(client: QueryClient) {
  return createRouter({
    routeTree,
    context: { client },
    defaultErrorComponent: ErrorPage,
    defaultNotFoundComponent: NotFoundPage,
    scrollRestoration: true,
  })
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof makeRouter>
  }
}
