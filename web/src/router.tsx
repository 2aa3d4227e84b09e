import type { QueryClient } from '@tanstack/react-query'
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  Outlet,
  redirect,
} from '@tanstack/react-router'
import { meQuery } from './api/queries'
import { ConnectionBanner } from './components/connection-banner'
import { LiveUpdates } from './components/live-updates'
import { ErrorPage, NotFoundPage } from './pages/failure'
import { LandingPage } from './pages/landing'
import { LinkPage } from './pages/link'
import { NewWorkspacePage } from './pages/new-workspace'
import { WorkspacePage } from './pages/workspace'
import { WorkspacesPage } from './pages/workspaces'

type Context = { client: QueryClient }
type Search = { next?: string }

const validateSearch = (search: Record<string, unknown>): Search =>
  typeof search.next === 'string' ? { next: search.next } : {}

const root = createRootRouteWithContext<Context>()({ component: Outlet })

const landing = createRoute({
  getParentRoute: () => root,
  path: '/',
  beforeLoad: async ({ context }) => {
    if (await context.client.ensureQueryData(meQuery)) throw redirect({ to: '/workspaces', replace: true })
  },
  component: () => <LandingPage />,
})

const login = createRoute({
  getParentRoute: () => root,
  path: '/login',
  validateSearch,
  component: () => <LandingPage next={login.useSearch().next} />,
})

const link = createRoute({
  getParentRoute: () => root,
  path: '/login/link',
  validateSearch,
  component: () => <LinkPage next={link.useSearch().next} />,
})

/** Everything that needs someone signed in. */
const inside = createRoute({
  getParentRoute: () => root,
  id: 'inside',
  beforeLoad: async ({ context, location }) => {
    const me = await context.client.ensureQueryData(meQuery)
    if (!me) throw redirect({ to: '/login', search: { next: location.href }, replace: true })
    return { me }
  },
  component: () => (
    <div className="flex min-h-dvh flex-col">
      <LiveUpdates />
      <ConnectionBanner />
      <Outlet />
    </div>
  ),
})

const workspaces = createRoute({
  getParentRoute: () => inside,
  path: '/workspaces',
  component: () => <WorkspacesPage me={workspaces.useRouteContext().me} />,
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

const routeTree = root.addChildren([
  landing,
  login,
  link,
  inside.addChildren([workspaces, newWorkspace, workspace]),
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
