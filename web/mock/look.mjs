// Walks through the built console in Chromium against the stand-in server: a picture of every page in
// two sizes, axe-core on each, and no console errors. `npm run look [directory]`.
import { mkdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { chromium } from 'playwright-core'
import { serve } from './server.mjs'

const out = process.argv[2] ?? 'look'
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const sizes = { wide: { width: 1440, height: 900 }, narrow: { width: 390, height: 844 } }
const quiet = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

const faults = []
await mkdir(out, { recursive: true })
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: quiet,
})

async function walk(size, port) {
  const { state, change, server, origin } = await serve(port)
  const context = await browser.newContext({
    viewport: sizes[size],
    reducedMotion: 'reduce',
    permissions: ['clipboard-read', 'clipboard-write'],
  })
  const page = await context.newPage()
  page.setDefaultTimeout(8000)
  let expectErrors = false
  page.on('console', (message) => {
    if (
      message.type() !== 'error' ||
      expectErrors ||
      /status of (401|403|422)|ERR_NETWORK_CHANGED|ERR_INCOMPLETE_CHUNKED/.test(message.text())
    )
      return
    faults.push(`${size}: console: ${message.text()}`)
  })
  page.on('pageerror', (error) => faults.push(`${size}: ${error}`))

  const look = async (name) => {
    await page.waitForTimeout(250)
    await page.screenshot({ path: `${out}/${name}-${size}.png` })
    const wider = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth)
    if (wider) faults.push(`${size} ${name}: scrolls sideways`)
    await page.evaluate(axe)
    const { violations } = await page.evaluate(() => window.axe.run(document, { iframes: false }))
    for (const { id, impact, nodes } of violations.filter(({ impact }) => /serious|critical/.test(impact)))
      faults.push(`${size} ${name}: ${impact} ${id}: ${nodes[0].html.slice(0, 160)}`)
  }
  const must = async (what, condition) => {
    if (!(await condition)) faults.push(`${size}: ${what}`)
  }
  const shows = (text) => page.getByText(text).first().waitFor()

  await page.goto(origin)
  await shows('kalpana sign-in-link')
  await look('landing')
  await page.goto(`${origin}/w/p3vd6trz2h`)
  await page.waitForURL(/\/login\?next=/)
  await shows('Sign in to go on')
  await look('login-next')
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
  await page.frameLocator('iframe').getByText('serve({').waitFor()
  await shows('Running')
  await look('workspace')
  await page.getByRole('button', { name: /^Stop/ }).click()
  await shows('is stopping')
  await look('workspace-stopping')
  await shows('is stopped')
  await look('workspace-stopped')
  await page.locator('main').getByRole('button', { name: 'Start' }).click()
  await page.frameLocator('iframe').getByText('serve({').waitFor()
  change('p3vd6trz2h', { state: 'error', reason: state.workspaces.at(-1).reason })
  await shows('has failed')
  await look('workspace-error')

  await page.getByRole('link', { name: 'All workspaces' }).click()
  await shows('4 of 5 workspaces')
  change('p3vd6trz2h', { state: 'paused', reason: 'Idle for 10 minutes' })
  change('b5nnx7c4ke', { state: 'starting' })
  await look('workspaces')
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
  await page.getByLabel('Repository').fill('git@github.com:owner/project')
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

  await page.goto(`${origin}/nowhere/at/all`)
  await shows('There is no page here')
  await look('not-found')
  await page.goto(`${origin}/w/zzzzzzzzzz`)
  await shows('This workspace is not here')
  await look('workspace-gone')

  await page.goto(`${origin}/workspaces`)
  await shows('5 of 5')
  expectErrors = true
  state.down = true
  for (const stream of state.streams) stream.destroy()
  await shows('Connection lost')
  await look('lost')
  state.down = false
  await page.getByRole('button', { name: 'Try now' }).click()
  await page.getByText('Connection lost').waitFor({ state: 'detached' })
  expectErrors = false

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
  await shows('kalpana sign-in-link')
  // And in again in another tab: this one goes on.
  state.signedIn = true
  await page.evaluate(() => window.dispatchEvent(new Event('visibilitychange')))
  await page.waitForURL(/\/workspaces$/)
  await page.getByRole('button', { name: /^Account/ }).click()
  await page.getByRole('menuitem', { name: 'Sign out' }).click()
  await page.waitForURL(`${origin}/`)

  expectErrors = true
  state.down = true
  await page.route('**/api/me', (route) => route.abort())
  await page.getByText('Kalpana', { exact: true }).waitFor()
  state.down = false
  await page.goto(`${origin}/workspaces`)
  await shows('cannot be reached')
  await look('unreachable')
  await page.unroute('**/api/me')
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.waitForURL(/\/login/)
  await shows('kalpana sign-in-link')
  await context.close()
  server.closeAllConnections()
  server.close()
}

let port = Number(process.env.PORT ?? 4180)
for (const size of Object.keys(sizes)) {
  try {
    await walk(size, port++)
  } catch (error) {
    faults.push(`${size}: ${error}`)
  }
}
await browser.close()
for (const fault of faults) console.log(fault)
console.log(faults.length ? `${faults.length} faults` : `no faults; pictures in ${out}`)
process.exit(faults.length ? 1 : 0)
