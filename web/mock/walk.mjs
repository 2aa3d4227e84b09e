// The way through the console that look.mjs takes, in one browser tab.

import { at, link } from './identity.mjs'
import { gib, sleep } from './sleep.mjs'
import { agent, agentAdministration, agentSettings } from './walk-agent.mjs'

export async function walk(tab) {
  // The way to the agent alone, for whoever works on it.
  if (process.env.LOOK === 'agent') {
    await tab.page.goto(`${tab.origin}/login/link#good`)
    await tab.page.getByRole('button', { name: 'Sign in' }).click()
    await tab.page.waitForURL(/\/workspaces$/)
    for (const part of [agent, agentSettings, agentAdministration]) await part(tab)
    return
  }
  await signIn(tab)
  await signInByLink(tab)
  await workspace(tab)
  await ports(tab)
  await agent(tab)
  await dashboard(tab)
  await settings(tab)
  await agentSettings(tab)
  await administration(tab)
  await agentAdministration(tab)
  await notThere(tab)
  await ending(tab)
}

/** Ends at /login, on the way to a workspace. */
async function signIn({ page, origin, state, look, must, shows }) {
  await page.goto(origin)
  await shows('Continue with GitHub')
  await look('landing')
  await page.getByText('Use a sign-in link').click()
  await shows('kalpana sign-in-link')
  await look('landing-link')
  for (const error of ['not-allowed', 'a-later-one']) {
    await page.goto(`${origin}/login?error=${error}&next=/workspaces/new`)
    await page.getByRole('alert').waitFor()
    await look(`login-${error}`)
  }
  await page.getByRole('button', { name: 'Continue with Example Corp' }).click()
  await page.waitForURL(/\/provider/)
  await must('a provider is told where to go on', state.started?.next === '/workspaces/new')
  await page.goBack()
  await page.getByRole('button', { name: 'Continue with Example Corp' }).waitFor()

  await page.goto(`${origin}/invite`)
  await shows('This invitation is incomplete')
  await look('invite-incomplete')
  await page.goto(`${origin}/invite#good`)
  await must(
    'the invitation stays in the address bar',
    page.waitForFunction(() => !location.href.includes('#')),
  )
  await shows('You are invited')
  await look('invite')
  await page.getByRole('button', { name: 'Continue with GitHub' }).click()
  await page.waitForURL(/\/provider/)
  await must('a provider is told of the invitation', state.started?.invitation === 'good')
  const { methods } = state
  state.methods = [link]
  await page.goto(`${origin}/invite#used`)
  await page.getByLabel('Your name').fill('Lena')
  await look('invite-name')
  await page.getByRole('button', { name: 'Join' }).click()
  await shows('no longer works')
  await look('invite-used')
  await page.goto(`${origin}/invite#good`)
  await page.getByLabel('Your name').fill('Lena')
  await page.getByRole('button', { name: 'Join' }).click()
  await page.waitForURL(/\/workspaces\/new$/)
  await page.goto(`${origin}/invite#good`)
  await shows('You are here already')
  await look('invite-signed-in')
  await page.getByRole('button', { name: 'Sign out and use it' }).click()
  await page.getByLabel('Your name').waitFor()

  await page.goto(origin)
  await shows('kalpana sign-in-link')
  await look('landing-links-only')
  state.methods = []
  await page.goto(`${origin}/login`)
  await shows('Nobody can sign in')
  await look('landing-no-way')
  state.methods = methods
  await page.goto(`${origin}/w/p3vd6trz2h`)
  await page.waitForURL(/\/login\?next=/)
  await shows('Sign in to go on')
  await look('login-next')
}

/** Ends in the workspace that was asked for. */
async function signInByLink({ page, origin, look, must, shows }) {
  await page.goto(`${origin}/login/link`)
  await look('link-incomplete')
  await page.goto(`${origin}/login/link#used`)
  await must(
    'the token stays in the address bar',
    page.waitForFunction(() => !location.href.includes('#')),
  )
  await look('link')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await shows('no longer works')
  await look('link-used')
  // Another link pasted into the same tab. The earlier visit to /login is remembered.
  await page.goto(`${origin}/login/link#good`)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.waitForURL(/\/w\/p3vd6trz2h$/)
}

async function workspace({ page, state, change, look, must, shows }) {
  const frame = page.frameLocator('iframe').getByText('serve({')
  await frame.waitFor()
  await shows('Running')
  await look('workspace')
  await page.getByRole('button', { name: /^Stop/ }).click()
  await shows('is stopping')
  await look('workspace-stopping')
  await shows('is stopped')
  await look('workspace-stopped')
  state.queue = { place: 1, of: 4 }
  await page.locator('main').getByRole('button', { name: 'Start' }).click()
  await page.getByRole('heading', { name: 'thesis is waiting to start' }).waitFor()
  await page.locator('main').getByText('next of 4 in the queue').waitFor()
  await look('workspace-queued')
  await page.getByRole('button', { name: 'Do not start it' }).click()
  await shows('is stopped')
  state.queue = undefined
  await page.locator('main').getByRole('button', { name: 'Start' }).click()
  await frame.waitFor()

  await page.getByRole('button', { name: 'Status' }).click()
  const panel = page.getByRole('complementary', { name: 'Status' })
  await panel.getByText('Running', { exact: true }).waitFor()
  await look('status')
  await panel.getByRole('button', { name: 'Keep awake for 2 h' }).click()
  await shows('It does not sleep before')
  await look('status-kept')
  await panel.getByRole('button', { name: 'Let it sleep' }).click()
  await page.getByText('It does not sleep before').waitFor({ state: 'detached' })
  await panel.getByRole('button', { name: 'Set a schedule' }).click()
  await page.getByRole('switch', { name: 'Wake at' }).click()
  await page.getByLabel('Wake at, time').fill('19:00')
  await page.getByLabel('Friday').uncheck()
  await page.getByRole('button', { name: 'Save' }).click()
  await shows('at the same time')
  await look('schedule')
  await page.getByLabel('Wake at, time').fill('07:45')
  await page.getByLabel('Time zone').selectOption('America/New_York')
  await page.getByRole('button', { name: 'Save' }).click()
  await shows('Wakes at 07:45 and stops at 19:00, Mon to Thu (America/New_York)')
  await panel.getByRole('button', { name: 'Change the schedule' }).click()
  await page.getByRole('switch', { name: 'Wake at' }).click()
  await page.getByRole('switch', { name: 'Stop at' }).click()
  await look('schedule-off')
  await page.getByRole('button', { name: 'Clear the schedule' }).click()
  await shows('neither stopped nor woken')
  await panel.getByRole('button', { name: 'Rebuild' }).click()
  await shows('Everything in the home folder stays')
  await look('rebuild')
  await page.getByRole('alertdialog').getByRole('button', { name: 'Rebuild' }).click()
  await page.getByRole('alertdialog').waitFor({ state: 'detached' })
  await panel.getByText('Starting VS Code').first().waitFor()
  await panel.getByText('Running', { exact: true }).waitFor()
  state.refuse = 'The workspace is just being stopped or deleted.'
  await panel.getByRole('button', { name: 'Restart' }).click()
  await shows('thesis was not restarted')
  await look('status-refused')
  state.refuse = undefined
  await panel.getByRole('button', { name: 'Restart' }).click()
  await shows('is stopping')
  await panel.getByText('Starting', { exact: true }).waitFor()
  await panel.getByText('Running', { exact: true }).waitFor()

  const picture = await page.locator('iframe').elementHandle()
  await panel.getByRole('button', { name: 'Pause' }).click()
  await page.getByRole('heading', { name: 'thesis is paused' }).waitFor()
  await page.keyboard.press('Escape')
  await page.getByRole('button', { name: 'Close the status' }).click()
  await look('workspace-paused')
  await must(
    'a paused frame is out of reach',
    picture.evaluate((frame) => frame.inert),
  )
  await page.locator('main').getByRole('button', { name: 'Wake' }).click()
  await page.getByRole('heading', { name: 'thesis is paused' }).waitFor({ state: 'detached' })
  await must(
    'a pause keeps the frame',
    picture.evaluate((frame) => frame.isConnected && !frame.inert),
  )

  const failed = state.workspaces.at(-1)
  change('p3vd6trz2h', {
    state: 'error',
    reason: failed.reason,
    start: failed.start,
    diskUsed: failed.diskUsed,
  })
  await shows('has failed')
  await look('workspace-error')
  await page.getByRole('button', { name: 'Show its last start' }).click()
  await shows('Last start')
  await look('status-error')
  await page.getByRole('button', { name: 'Close the status' }).click()
}

/** Begins and ends in a workspace. */
async function ports({ page, origin, state, look, must, shows }) {
  let listening = []
  await page.routeWebSocket(/\/bridge$/, (socket) =>
    socket.onMessage((call) =>
      socket.send(JSON.stringify({ ...JSON.parse(call), result: { ports: listening } })),
    ),
  )
  await page.goto(`${origin}/w/b5nnx7c4ke`)
  await page.getByRole('button', { name: 'Ports' }).click()
  await page.getByLabel('Add a port').waitFor()
  await look('ports-empty')
  await page.goto(`${origin}/w/k7m2q4xw9a`)
  await page.getByRole('button', { name: 'Ports' }).click()
  await page.getByRole('link', { name: /^Open port 3000/ }).waitFor()
  await shows('nothing listens')
  listening = [
    { port: 3000, address: 'loopback', process: 'MainThread', command: '/usr/bin/node server.js' },
    {
      port: 4321,
      address: 'any',
      command: 'python3 -m a.server.with.a.rather.long.name.of.its.own --port 4321',
    },
  ]
  await page.getByRole('link', { name: /^Open port 4321/ }).waitFor()
  await must(
    'a port is in the list by itself, and could be taken out',
    page
      .getByRole('button', { name: 'Remove port 4321' })
      .count()
      .then((count) => count === 0),
  )
  await look('ports')
  const add = page.getByLabel('Add a port')
  await add.fill('80')
  await add.press('Enter')
  await shows('from 1024 to 65535')
  await look('ports-field-error')
  await add.fill('8080')
  await add.press('Enter')
  await shows('Kalpana uses port 8080')
  await add.fill('8000')
  await add.press('Enter')
  await page.getByRole('link', { name: /^Open port 8000/ }).waitFor()
  state.cap = 'public'
  await page.reload()
  await page.getByRole('button', { name: 'Ports' }).click()
  await page.getByLabel('Who may open port 8000').selectOption('public')
  await shows('Make port 8000 public?')
  await page.keyboard.press('Escape')
  await page.getByRole('alertdialog').waitFor({ state: 'detached' })
  await page.getByLabel('Who may open port 8000').selectOption('public')
  await look('ports-public')
  await page.getByRole('button', { name: 'Make it public' }).click()
  const port = page.getByRole('listitem').filter({ has: page.getByLabel('Who may open port 8000') })
  await port.getByRole('switch', { name: /wakes/ }).click()
  await port.getByRole('switch', { name: /wakes/, checked: true }).waitFor()
  await must('a port is shared as was chosen', state.ports.k7m2q4xw9a[8000].level === 'public')
  await look('ports-shared')
  await page.getByRole('button', { name: 'Remove port 8000' }).click()
  await port.waitFor({ state: 'detached' })
  await page.getByRole('button', { name: 'Close the ports' }).focus()
  await page.keyboard.press('Escape')
  await must(
    'the focus does not return to the button',
    page.getByRole('button', { name: 'Ports' }).evaluate((button) => button === document.activeElement),
  )
}

async function dashboard({ page, state, change, look, must, shows }) {
  await page.getByRole('link', { name: 'All workspaces' }).click()
  await shows('4 of 5 workspaces')
  change('p3vd6trz2h', {
    ...sleep('paused'),
    state: 'paused',
    reason: 'Idle for 10 minutes',
    diskUsed: 2 * gib,
  })
  change('b5nnx7c4ke', { state: 'stopped', awake: undefined })
  state.queue = { place: 2, of: 3 }
  await page.getByRole('button', { name: /^Start a-rather/ }).click()
  await shows('number 2 of 3 in the queue')
  state.queue = undefined
  await look('workspaces')
  await must(
    'few workspaces have no search',
    page
      .getByRole('searchbox')
      .count()
      .then((n) => n === 0),
  )
  const few = [...state.workspaces]
  const show = (workspaces) => {
    state.workspaces = workspaces
    state.send('snapshot', { workspaces })
  }
  const copies = [1, 2, 3, 4].map((n) => ({ ...few[2], id: `experiment${n}`, name: `experiment-${n}` }))
  show([...few, ...copies])
  await page.getByRole('searchbox').fill('blank EXPERIMENT-3')
  await page.getByRole('heading', { name: 'quiet-orchard' }).waitFor({ state: 'detached' })
  await must(
    'one is found',
    page
      .locator('[data-workspace-id]')
      .count()
      .then((n) => n === 1),
  )
  await look('workspaces-found')
  await page.reload()
  await page.getByRole('heading', { name: 'experiment-3' }).waitFor()
  await page.getByRole('searchbox').fill('nowhere')
  await shows('None of your workspaces')
  await look('workspaces-none-found')
  await page.getByRole('searchbox').fill('')
  show(few)
  await page.getByRole('searchbox').waitFor({ state: 'detached' })
  await page.getByRole('button', { name: 'More for quiet-orchard' }).click()
  await page.getByRole('menuitem', { name: 'Keep awake' }).click()
  await page.getByRole('button', { name: 'Keep awake for 8 h' }).click()
  await shows('It does not sleep before')
  await look('keep-awake')
  await page.getByRole('button', { name: 'Done' }).click()
  await shows('Kept awake until')
  await page.getByRole('button', { name: 'More for thesis' }).click()
  await look('workspaces-menu')
  await page.getByRole('menuitem', { name: 'Rename' }).click()
  await look('rename')
  await page.getByRole('textbox', { name: 'Name' }).fill('thesis-2')
  await page.keyboard.press('Enter')
  await shows('thesis-2')
  await page.getByRole('button', { name: 'More for lucid-ridge' }).click()
  await page.getByRole('menuitem', { name: 'Delete' }).click()
  await look('delete')
  await page.keyboard.press('Escape')
  await page.getByRole('button', { name: /^Account/ }).click()
  await look('account')
  await page.keyboard.press('Escape')

  await page.getByRole('link', { name: 'New workspace' }).click()
  await page.getByRole('radio').first().waitFor()
  await look('new')
  await page.getByRole('radio', { name: /Python/ }).click()
  const repository = page.getByLabel('Repository')
  await repository.fill('git@github.com:owner/thesis-2.git')
  await shows('You have a workspace of this name already')
  await repository.blur()
  await must(
    'an address for SSH is written as one that can be cloned',
    repository.inputValue().then((value) => value === 'https://github.com/owner/thesis-2.git'),
  )
  await look('new-repository')
  await repository.fill('not an address')
  await page.getByRole('button', { name: 'Create workspace' }).click()
  await shows('Give an address')
  await look('new-field-error')
  state.limit = 4
  await page.getByLabel('Repository').fill('')
  await page.getByRole('button', { name: 'Create workspace' }).click()
  await shows('You have 4 of 4 workspaces')
  await look('new-limit')
  state.limit = 5
  await page.getByRole('button', { name: 'Create workspace' }).click()
  await page.waitForURL(/\/w\/n/)
  await page.frameLocator('iframe').getByText('serve({').waitFor()
}

async function settings({ page, origin, state, look, must, shows }) {
  await page.getByRole('link', { name: 'All workspaces' }).click()
  await page.getByRole('button', { name: /^Account/ }).click()
  await page.getByRole('menuitem', { name: 'Settings' }).click()
  await shows('This browser')
  await look('sessions')
  await page.getByRole('button', { name: /^Sign out curl/ }).click()
  await page.getByText('curl', { exact: true }).waitFor({ state: 'detached' })
  await page.getByRole('button', { name: 'Sign out all others' }).click()
  await look('sessions-others')
  await page.getByRole('alertdialog').getByRole('button', { name: 'Sign out all others' }).click()
  await page.getByText('Safari on iPhone').waitFor({ state: 'detached' })
  await must('this session stays', state.sessions.length === 1)

  state.broken = true
  await page.getByRole('link', { name: 'API tokens' }).click()
  await shows('The store does not answer')
  await look('tokens-error')
  state.broken = false
  await page.getByRole('button', { name: 'Try again' }).click()
  await shows('nightly backup')
  await look('tokens')
  await page.getByRole('button', { name: 'New token' }).click()
  await page.getByRole('textbox', { name: 'Name' }).fill('ci')
  await page.getByRole('checkbox').first().check()
  await look('tokens-new')
  await page.getByRole('button', { name: 'Create token' }).click()
  await shows('it is not shown again')
  await page.getByRole('button', { name: 'Copy the token' }).click()
  await must(
    'the token is not copied',
    page.evaluate(() => navigator.clipboard.readText()).then((text) => text.startsWith('kal_')),
  )
  await look('tokens-made')
  await page.getByRole('button', { name: 'Done' }).click()
  for (const name of ['ci', 'nightly backup', /^Revoke a script/]) {
    await page.getByRole('button', { name: name.test ? name : `Revoke ${name}` }).click()
    await page.getByRole('button', { name: 'Revoke it' }).click()
    await page.getByRole('alertdialog').waitFor({ state: 'detached' })
  }
  await shows('No tokens yet')
  await look('tokens-empty')

  await page.getByRole('link', { name: 'Git servers' }).click()
  await shows('https://git.example.com')
  await look('git')
  const address = page.getByRole('textbox', { name: 'E-mail address' })
  await address.fill('nobody')
  await page.getByRole('button', { name: 'Save' }).click()
  await shows('This is no e-mail address.')
  await look('git-committer')
  await address.fill('asha@example.com')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('This is no e-mail address.').waitFor({ state: 'detached' })
  await must('the address of commits is kept', state['git-identity'].email === 'asha@example.com')
  await page.getByRole('button', { name: 'Add a token' }).click()
  await page.getByRole('textbox', { name: 'Server', exact: true }).fill('https://github.com/acme')
  await page.getByLabel('Token', { exact: true }).fill('ghp_secret')
  await page.getByRole('button', { name: 'Save' }).click()
  await shows('Write the git server’s address alone')
  await look('git-new')
  await page.getByRole('textbox', { name: 'Server', exact: true }).fill('https://github.com')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  await shows('https://github.com')
  await page.getByRole('button', { name: 'Forget https://github.com' }).click()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Forget it' }).click()
  await page.getByText('https://github.com', { exact: true }).waitFor({ state: 'detached' })
  state.questions.push(
    {
      id: 'q1',
      workspace: state.workspaces[0].id,
      server: 'https://github.com',
      repository: 'acme/billing',
      askedAt: at(0),
    },
    {
      id: 'q2',
      workspace: state.workspaces[0].id,
      server: 'https://git.example.com',
      repository: 'tools/deploy',
      askedAt: at(0),
    },
  )
  state.send('git-questions', { questions: state.questions })
  await shows('acme/billing')
  await look('git-questions')
  await page.getByRole('button', { name: 'For 8 hours allow acme/billing' }).click()
  await page.getByText('acme/billing').waitFor({ state: 'detached' })
  await page.getByRole('button', { name: 'Refuse tools/deploy' }).click()
  await page.getByText('tools/deploy').waitFor({ state: 'detached' })
  await must(
    'both were answered',
    state.answers.length === 2 && state.answers[0].hours === 8 && !state.answers[1].allow,
  )

  await page.getByRole('link', { name: 'Accounts' }).click()
  await shows('asha@example.com')
  await look('accounts')
  await page.getByRole('button', { name: 'Connect Example Corp' }).click()
  await page.waitForURL(/\/provider/)
  await must('a provider is told to connect', state.started?.connect === true)
  await page.goto(`${origin}/login?error=taken`)
  await page.waitForURL(/\/settings\/accounts/)
  await shows('belongs to someone else')
  await look('accounts-error')
  state.accounts.push({ ...state.accounts[0], provider: 'corp', subject: 's', login: 'asha.rao' })
  await page.reload()
  await page.getByRole('button', { name: 'Disconnect GitHub' }).click()
  await look('accounts-disconnect')
  await page.getByRole('button', { name: 'Disconnect it' }).click()
  await page.getByRole('button', { name: 'Connect GitHub' }).waitFor()
}

async function administration({ page, origin, state, look, must, shows }) {
  await page.getByRole('button', { name: /^Account/ }).click()
  await page.getByRole('menuitem', { name: 'Administration' }).click()
  await shows('Ravi Menon')
  await look('people')
  await page.getByLabel('Role of Ravi Menon').selectOption('admin')
  await page.getByRole('button', { name: 'More for Ravi Menon' }).click()
  await look('people-menu')
  await page.getByRole('menuitem', { name: 'Change the quota' }).click()
  await page.getByRole('textbox', { name: 'Workspaces' }).fill('many')
  await page.getByRole('textbox', { name: 'Disk' }).fill('Unlimited')
  await page.getByRole('textbox', { name: 'Memory' }).fill('1,5')
  await page.getByRole('button', { name: 'Save' }).click()
  await shows('Give a whole number')
  await look('people-quota')
  await page.getByRole('textbox', { name: 'Workspaces' }).fill('')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  await shows('Quota: 2 running, 1.5 GiB memory each, unlimited disk')
  await page.getByRole('button', { name: 'More for Ravi Menon' }).click()
  await page.getByRole('menuitem', { name: 'Make a sign-in link' }).click()
  await shows('A sign-in link for Ravi Menon')
  await look('people-link')
  await page.getByRole('button', { name: 'More for Ravi Menon' }).click()
  await page.getByRole('menuitem', { name: 'Disable' }).click()
  await shows('Disable Ravi Menon?')
  await look('people-disable')
  await page.getByRole('button', { name: 'Disable', exact: true }).click()
  await page.getByRole('alertdialog').waitFor({ state: 'detached' })
  const { role, disabled } = state.people[1]
  await must('a person is changed as was chosen', role === 'admin' && disabled)

  await page.getByRole('link', { name: 'All workspaces', exact: true }).click()
  await page.getByRole('button', { name: /^Stop quiet-orchard of Asha/ }).waitFor()
  await look('all-workspaces')
  await page.getByRole('button', { name: /^Stop quiet-orchard of Asha/ }).click()
  await look('all-workspaces-stop')
  await page.getByRole('button', { name: 'Stop it' }).click()
  await page.getByText('stopped by Asha Rao', { exact: false }).first().waitFor()
  await page.getByLabel('Owner').selectOption({ label: 'Ravi Menon' })
  await page.waitForURL(/owner=u2/)
  await page.getByRole('heading', { name: 'quiet-orchard' }).waitFor({ state: 'detached' })
  await page.getByLabel('Owner').selectOption({ label: 'Everybody' })
  await page.getByRole('searchbox').fill('orchard')
  await page.waitForURL(/q=orchard/)
  await page.getByRole('heading', { name: 'quiet-orchard' }).waitFor()
  await page.getByRole('heading', { name: 'lucid-ridge' }).waitFor({ state: 'detached' })
  await look('all-workspaces-found')

  await page.getByRole('link', { name: 'Invitations' }).click()
  await shows('Lena, for the summer')
  await look('invitations')
  await page.getByRole('button', { name: 'New invitation' }).click()
  await page.getByLabel('Note (optional)').fill('Tomás')
  await look('invitations-new')
  await page.getByRole('button', { name: 'Create invitation' }).click()
  await shows('it is not shown again')
  await look('invitations-made')
  for (const _ of [...state.invitations]) {
    const row = page.getByRole('listitem').filter({ hasText: 'expires' })
    const count = await row.count()
    await row.first().getByRole('button').click()
    await row.nth(count - 1).waitFor({ state: 'detached' })
  }
  await shows('No invitation is open')
  await page.getByRole('button', { name: 'Done' }).click()
  await look('invitations-empty')

  await page.getByRole('link', { name: 'Audit log' }).click()
  await page.getByRole('cell', { name: 'Signed in' }).first().waitFor()
  await look('audit')
  await page.getByRole('button', { name: 'Older events' }).click()
  await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 100)
  await page.getByLabel('Person').selectOption({ label: 'Ravi Menon' })
  await page.getByLabel('Action').selectOption('grant')
  await page.waitForURL(/person=u2&action=grant/)
  await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 20)
  await page.getByRole('searchbox', { name: 'Workspace' }).fill('nothing')
  await page.keyboard.press('Enter')
  await shows('Nothing in the log fits')
  await look('audit-nothing')

  state.role = 'member'
  await page.goto(`${origin}/admin/people`)
  await shows('This page is for admins')
  await look('admin-member')
  state.role = 'admin'
}

async function notThere({ page, origin, look, shows }) {
  await page.goto(`${origin}/nowhere/at/all`)
  await shows('There is no page here')
  await look('not-found')
  await page.goto(`${origin}/w/zzzzzzzzzz`)
  await shows('This workspace is not here')
  await look('workspace-gone')

  await page.goto(`${origin}/handoff?host=zzzzzzzzzz&challenge=x`)
  await shows('it belongs to someone else')
  await look('handoff-gone')
}

async function ending({ page, origin, state, look, must, shows, expectErrors }) {
  await page.goto(`${origin}/workspaces`)
  await shows('5 of 5')
  expectErrors(true)
  state.down = true
  for (const stream of state.streams) stream.destroy()
  await shows('Connection lost')
  await look('lost')
  state.down = false
  await page.getByRole('button', { name: 'Try now' }).click()
  await page.getByText('Connection lost').waitFor({ state: 'detached' })
  expectErrors(false)

  for (const { id } of [...state.workspaces]) {
    const row = page.getByRole('listitem').filter({ has: page.locator(`a[href="/w/${id}"]`) })
    await row.getByRole('button', { name: /^More/ }).click()
    await page.getByRole('menuitem', { name: 'Delete' }).click()
    await page.getByRole('button', { name: 'Delete for good' }).click()
    await row.waitFor({ state: 'detached' })
  }
  await shows('No workspaces yet')
  await look('empty')

  // Signed out elsewhere: the next call finds out.
  state.signedIn = false
  for (const stream of state.streams) stream.destroy()
  await page.waitForURL(/\/login/)
  await shows('Continue with GitHub')
  // And in again in another tab: this one goes on.
  state.signedIn = true
  await page.evaluate(() => window.dispatchEvent(new Event('visibilitychange')))
  await page.waitForURL(/\/workspaces$/)
  await page.getByRole('button', { name: /^Account/ }).click()
  await page.getByRole('menuitem', { name: 'Sign out' }).click()
  await page.waitForURL(`${origin}/`)
  await shows('Continue with GitHub')
  await must(
    'nobody who signed out is to go on',
    page
      .getByText('Sign in to go on')
      .count()
      .then((n) => n === 0),
  )

  expectErrors(true)
  state.down = true
  await page.route('**/api/me', (route) => route.abort())
  state.down = false
  await page.goto(`${origin}/workspaces`)
  await shows('cannot be reached')
  await look('unreachable')
  await page.unroute('**/api/me')
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.waitForURL(/\/login/)
  await shows('Continue with GitHub')
}
