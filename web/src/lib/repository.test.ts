import { expect, test } from 'vitest'
import { repositoryAddress, repositoryName } from './repository'

test.each([
  ['https://github.com/owner/project', 'https://github.com/owner/project'],
  [' http://git.example.com:3000/a.git ', 'http://git.example.com:3000/a.git'],
  ['git@github.com:owner/project.git', 'https://github.com/owner/project.git'],
  ['ssh://git@git.example.com:2222/owner/project.git', 'https://git.example.com/owner/project.git'],
  ['github.com/owner/project', 'https://github.com/owner/project'],
])('%j is the repository %s', (text, address) => expect(repositoryAddress(text)).toBe(address))

test.each([
  '',
  'not a url',
  'project',
  'file:///etc/passwd',
  'https://user:pass@example.com/a.git',
  'user:pass@example.com/a.git',
])('%j is left as it is', (text) => expect(repositoryAddress(text)).toBe(text))

test.each([
  ['https://github.com/owner/project', 'project'],
  ['https://github.com/owner/project.git', 'project'],
  ['git@github.com:owner/project.git', 'project'],
  ['https://gitlab.com/group/sub/project/?x#y', 'project'],
  ['https://github.com/', ''],
  ['https://github.com', ''],
  ['not a url', ''],
])('the workspace of %j is called %j', (address, name) => expect(repositoryName(address)).toBe(name))
