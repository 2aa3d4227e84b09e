// An OpenID provider for the tests, on a port of its own choice: it prints its issuer and ends when
// its standard input does. Whoever signs in gives the name of an account, and any password.
import { createServer } from 'node:http'
import process from 'node:process'
import { Provider } from 'oidc-provider'

const accounts = {
  mona: { email: 'Mona@Corp.com', email_verified: true, name: 'Mona Lisa', preferred_username: 'mona', groups: ['developers', 'staff'] },
  eve: { email: 'eve@corp.com', email_verified: false, name: 'Eve', preferred_username: 'mona' },
  mallory: { email: 'mallory@corp.com', email_verified: 'true', name: 'Mallory' },
}

const server = createServer()
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://localhost:${server.address().port}`
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: 'kalpana',
        client_secret: 'oidc-secret',
        redirect_uris: ['http://kalpana.localhost:8080/login/corp/callback'],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
      },
    ],
    scopes: ['openid', 'offline_access'],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username', 'groups'] },
    pkce: { required: () => true },
    cookies: { keys: ['only a test'] },
    features: { devInteractions: { enabled: true } },
    rotateRefreshToken: true,
    ttl: { AccessToken: 300, AuthorizationCode: 60, IdToken: 300, RefreshToken: 86400, Grant: 86400, Interaction: 600, Session: 86400 },
    findAccount: (_, id) => accounts[id] && { accountId: id, claims: () => ({ sub: id, ...accounts[id] }) },
  })
  server.on('request', provider.callback())
  process.stdout.write(`${issuer}\n`)
})
process.stdin.on('end', () => process.exit()).resume()
