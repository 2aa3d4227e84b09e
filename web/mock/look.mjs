// Walks through the built console in Chromium against the stand-in server: a picture of every page in
// two sizes, dark and light, axe-core on each, and no console errors. `npm run look [directory]`.
import { mkdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { chromium } from 'playwright-core'
import { serve } from './server.mjs'
import { walk } from './walk.mjs'

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

/** Runs in the page: nothing loads or moves any more, and what there is has been painted. */
async function settled() {
  const still = () =>
    document.fonts.status === 'loaded' &&
    !document.querySelector('[role=status][aria-label^=Loading]') &&
    document.getAnimations().every(({ playState }) => playState !== 'running')
  if (!still()) return false
  // A change of colours takes a frame for each element that inherits them.
  for (let frame = 0; frame < 8; frame++) await new Promise(requestAnimationFrame)
  return still()
}

async function visit(size, port) {
  const { state, change, server, origin } = await serve(port)
  const context = await browser.newContext({
    viewport: sizes[size],
    reducedMotion: 'reduce',
    permissions: ['clipboard-read', 'clipboard-write'],
  })
  const page = await context.newPage()
  page.setDefaultTimeout(30_000)
  let expecting = false
  page.on('console', (message) => {
    if (
      message.type() !== 'error' ||
      expecting ||
      /status of (401|403|404|409|422|503)|ERR_NETWORK_CHANGED|ERR_INCOMPLETE_CHUNKED/.test(message.text())
    )
      return
    faults.push(`${size}: console: ${message.text()}`)
  })
  // What the policy stops is a fault, also where whoever tried it goes on without.
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
      console.error(`the policy stopped ${violatedDirective}: ${blockedURI}`),
    )
  })
  page.on('pageerror', (error) => faults.push(`${size}: ${error}`))

  const look = async (name) => {
    for (const scheme of ['dark', 'light']) {
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' })
      await see(scheme === 'dark' ? `${name}-${size}` : `${name}-${size}-light`)
    }
    await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' })
  }
  const see = async (name) => {
    await page.waitForFunction(settled)
    await page.screenshot({ path: `${out}/${name}.png` })
    const wider = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth)
    if (wider) faults.push(`${name}: scrolls sideways`)
    await page.evaluate(axe)
    // An open menu is at the end of the body, outside of every landmark.
    const { violations } = await page.evaluate(() => window.axe.run(document, { iframes: false }))
    for (const { id, impact, nodes } of violations) {
      const found = nodes.filter(({ html }) => id !== 'region' || !html.includes('data-radix-popper'))
      if (found.length > 0) faults.push(`${name}: ${impact} ${id}: ${found[0].html.slice(0, 160)}`)
    }
  }
  const must = async (what, condition) => {
    if (!(await condition)) faults.push(`${size}: ${what}`)
  }
  const shows = (text) => page.getByText(text).first().waitFor()

  await walk({ page, origin, state, change, look, must, shows, expectErrors: (value) => (expecting = value) })
  await context.close()
  server.closeAllConnections()
  server.close()
}

let port = Number(process.env.PORT ?? 4180)
for (const size of Object.keys(sizes)) {
  try {
    await visit(size, port++)
  } catch (error) {
    faults.push(`${size}: ${error}`)
  }
}
await browser.close()
for (const fault of faults) console.log(fault)
console.log(faults.length ? `${faults.length} faults` : `no faults; pictures in ${out}`)
process.exit(faults.length ? 1 : 0)
