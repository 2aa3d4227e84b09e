import { QueryClientProvider } from '@tanstack/react-query'
import { createElement } from 'react'
import { renderToStaticMarkup } from 'react-dom/server'
import { expect, test, vi } from 'vitest'
import { gitQuestionsQuery, makeQueryClient } from '@/api/queries'
import { GitQuestions } from './git-questions'

// There is no stream of events on a server.
vi.mock('@/api/connection', async (original) => ({
  ...(await original<object>()),
  useConnection: () => ({ connection: 'live', retry: () => {} }),
}))

test('a question that has just come takes no click', () => {
  const client = makeQueryClient()
  client.setQueryData(gitQuestionsQuery.queryKey, [
    { id: 'q', workspace: 'w', server: 'https://git.example.com', repository: 'evil/shop', askedAt: '' },
  ])
  const html = renderToStaticMarkup(
    createElement(QueryClientProvider, { client }, createElement(GitQuestions)),
  )
  expect(html).toContain('evil/shop')
  expect(html.match(/<button [^>]*\bdisabled=""/g)).toHaveLength(3)
})
