// The part of the walk that leads through the agent: its panel, its settings, its administration.

const id = 'k7m2q4xw9a'

/** Begins in the view of a workspace, or anywhere, and ends in the list of workspaces. */
export async function agent({ page, origin, state, change, look, must, shows }) {
  const button = (name) => page.getByRole('button', { name, exact: true })
  const message = page.getByRole('textbox', { name: 'Message' })
  const send = async (text) => {
    await message.fill(text)
    await button('Send').click()
  }
  const idle = () => button('Stop the agent').waitFor({ state: 'detached' })
  const newChat = () => button('New chat').click()

  change(id, { state: 'running', stateSince: new Date().toISOString() })
  await page.goto(`${origin}/w/${id}`)
  await page.frameLocator('iframe').getByText('serve({').waitFor()
  await page.evaluate(() => (window.unreloaded = true))
  await page
    .frameLocator('iframe')
    .locator('body')
    .evaluate(() => (window.unreloaded = true))
  await button('Agent').click()
  await shows('An engineer in the files')
  await must(
    'the message has the focus',
    message.evaluate((box) => box === document.activeElement),
  )
  await must(
    'VS Code stays loaded',
    page
      .frameLocator('iframe')
      .locator('body')
      .evaluate(() => window.unreloaded),
  )
  await look('agent-new')

  await send('Fix the failing test of the cart')
  await shows('The agent waits for 2 answers')
  await idle()
  await must(
    'the agent is told what was chosen',
    state.agent.log.at(-1).workspace === id && state.agent.log.at(-1).mode === 'ask-writes',
  )
  await must(
    'both approvals are there',
    (await page.getByRole('group', { name: /^The agent asks/ }).count()) === 2,
  )
  await shows('Always allows commands that begin with “npm test” and “git commit”')
  await page.locator('summary').filter({ hasText: 'of 3 done' }).click()
  await button('Show').click()
  await look('agent-approvals')
  await page.locator('summary').filter({ hasText: 'of 3 done' }).click()
  const second = page.getByRole('group', { name: /The agent asks: Run npm test/ })
  await second.getByRole('button', { name: 'Deny…' }).click()
  await page.getByLabel('What should it do instead?').fill('Do not commit')
  await look('agent-deny')
  await second.getByRole('button', { name: 'Deny', exact: true }).click()
  await button('Allow once').focus()
  await page.keyboard.press('Enter')
  await shows('The test passes now')
  await idle()
  await shows('3 files changed')
  const posted = state.agent.log
    .at(-1)
    .messages.at(-1)
    .parts.filter(({ approval }) => approval)
  await must(
    'the answers are sent as they were given',
    posted[0]?.approval.approved === true &&
      posted[1]?.approval.approved === false &&
      posted[1]?.approval.reason === 'Do not commit',
  )
  await look('agent-answer')
  await page.getByText('Thoughts').click()
  await page.locator('summary').filter({ hasText: 'Edited cart/total.js' }).click()
  await look('agent-details')
  await button('Copy the code').click()
  await must(
    'the code is copied',
    page
      .evaluate(() => navigator.clipboard.readText())
      .then((text) => text.startsWith('export function total')),
  )
  await page.locator('summary').filter({ hasText: 'cart/total.test.js' }).last().click()
  await look('agent-changes')
  await button('Undo cart/total.test.js').click()
  await look('agent-undo')
  await page.getByRole('alertdialog').getByRole('button', { name: 'Undo', exact: true }).click()
  await page.getByRole('alertdialog').waitFor({ state: 'detached' })
  await shows('undone')
  await button('Undo all').click()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Undo', exact: true }).click()
  await shows('Not everything was undone')
  await look('agent-undone')

  // A run goes on without anybody, and is read from its start again.
  await newChat()
  await send('slow')
  await shows('step 3')
  await message.fill('And tell me when it is done')
  await page.keyboard.press('Enter')
  await page.getByRole('list', { name: 'To be read at its next step' }).waitFor()
  await look('agent-working')
  await page.reload()
  await shows('This takes a while')
  await shows(/step \d+/)
  await button('Stop the agent').click()
  await idle()
  await shows('And tell me when it is done')
  await must('the run was stopped', state.agent.runs.size === 0)
  await look('agent-stopped')

  await newChat()
  await send('ask me')
  await shows('Which test runner')
  await idle()
  await look('agent-question')
  await page.getByRole('button', { name: /^Vitest/ }).click()
  await shows('Vitest it is')
  const asked = state.agent.log
    .at(-1)
    .messages.at(-1)
    .parts.find(({ type }) => type === 'tool-ask')
  await must('the answer is the output of the question', asked?.output === 'Vitest')

  await newChat()
  await send('fail')
  await shows('does not answer (status 502)')
  await look('agent-error')
  await button('Continue').click()
  await shows('I go on where I was')

  await newChat()
  await send('interrupt')
  await shows('The agent was interrupted')
  await look('agent-interrupted')
  await button('Continue').click()
  await shows('I go on where I was')
  await idle()

  await newChat()
  await send('hostile')
  await shows('Look:')
  await idle()
  await must(
    'what a model writes loads nothing',
    page.evaluate(
      () =>
        document.querySelectorAll('.markdown img, .markdown script, .markdown [onclick]').length === 0 &&
        [...document.querySelectorAll('.markdown a')].every(
          (link) =>
            link.protocol.startsWith('http') && link.target === '_blank' && link.rel.includes('noopener'),
        ),
    ),
  )
  await look('agent-hostile')

  state.agentRefuses =
    'The agent’s budget of this person for a day, $5.00, is spent. It begins anew tomorrow.'
  await message.fill('What is next?')
  await page.keyboard.press('Enter')
  await shows('is spent')
  await must(
    'what was refused is not lost',
    message.inputValue().then((text) => text === 'What is next?'),
  )
  await look('agent-refused')
  state.agentRefuses = undefined
  await message.fill('')

  await page.getByLabel('What it asks for').selectOption('ask-none')
  await shows('without asking')
  await button('Plan').click()
  await look('agent-plan')
  await button('Plan').click()
  await page.getByLabel('What it asks for').selectOption('ask-writes')

  await page.getByRole('button', { name: /^Chat:/ }).click()
  await look('agent-chats')
  await page.getByRole('menuitem', { name: 'Rename' }).click()
  await page.getByRole('textbox', { name: 'Name' }).fill('About a hostile file')
  await page.keyboard.press('Enter')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  await page.getByRole('button', { name: 'Chat: About a hostile file' }).click()
  await page.getByRole('menuitem', { name: 'Delete' }).click()
  await look('agent-delete')
  await page.getByRole('alertdialog').getByRole('button', { name: 'Delete', exact: true }).click()
  await shows('An engineer in the files')
  await page.getByRole('button', { name: /^Chat:/ }).click()
  await page.getByRole('menuitem', { name: /^Fix the failing test/ }).click()
  await shows('The test passes now')

  change(id, { state: 'paused', reason: 'Idle for 10 minutes' })
  await newChat()
  await shows('The workspace sleeps')
  await look('agent-asleep')
  change(id, { state: 'running', reason: '' })

  await button('Close the agent').click()
  await must(
    'the panel is closed',
    page
      .getByRole('region', { name: 'Agent', exact: true })
      .waitFor({ state: 'detached' })
      .then(() => true),
  )
  state.agent.configured = false
  await page.reload()
  await button('Agent').click()
  await shows('The agent has no model yet')
  await look('agent-not-configured')
  await button('Close the agent').click()
}

export async function agentSettings({ page, origin, state, look, must, shows }) {
  await page.goto(`${origin}/settings/agent`)
  await shows('This month')
  await page.getByLabel('Key', { exact: true }).fill('hunter2')
  await page.getByRole('button', { name: 'Save' }).click()
  await shows('does not take this key')
  await look('agent-settings-fault')
  await page.getByLabel('Key', { exact: true }).fill('sk-or-v1-0123456789abcdef')
  await page.getByRole('button', { name: 'Save' }).click()
  await shows('cdef')
  await look('agent-settings')
  await page.getByRole('button', { name: 'Remove' }).click()
  await look('agent-settings-remove')
  await page.getByRole('button', { name: 'Remove it' }).click()
  await page.getByRole('alertdialog').waitFor({ state: 'detached' })
  await must('the key is gone', state.agent.keyEnd === '')
  state.agent.ownKeys = false
  state.agent.configured = true
  await page.reload()
  await shows('The installation pays')
}

export async function agentAdministration({ page, origin, look }) {
  await page.goto(`${origin}/admin/usage`)
  await page.getByRole('rowheader', { name: 'Asha Rao' }).waitFor()
  await look('agent-usage')
  await page.getByLabel('By').selectOption('model')
  await page.getByRole('rowheader', { name: 'qwen/qwen3-coder' }).waitFor()
  await page.getByLabel('By').selectOption('workspace')
  await page.getByRole('rowheader', { name: 'quiet-orchard' }).waitFor()
}
