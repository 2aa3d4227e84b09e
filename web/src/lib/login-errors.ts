/** What /login?error=… means, and what to do next. */
export type LoginError = { title: string; text: string }

const errors: Record<string, LoginError> = {
  denied: {
    title: 'You did not sign in',
    text: 'The sign-in was cancelled there, or access was not given. Try again, or choose another way.',
  },
  'not-allowed': {
    title: 'This account is not let in',
    text: 'You signed in there, but nobody has let this account into Kalpana. Ask an admin for an invitation, or sign in with another account.',
  },
  expired: {
    title: 'This sign-in took too long',
    text: 'It was begun too long ago, or in another browser, or it was finished already. Start again; an invitation has to be opened again from its link.',
  },
  provider: {
    title: 'The sign-in service’s answer cannot be trusted',
    text: 'This is no fault of yours. Try again in a minute. If it stays so, tell your operator: the server’s log has the reason.',
  },
  unavailable: {
    title: 'The sign-in service does not answer',
    text: 'Try again in a minute, or choose another way.',
  },
  unknown: {
    title: 'This way to sign in is not here',
    text: 'The operator may have removed it. Choose another way.',
  },
  disabled: {
    title: 'Your access is switched off',
    text: 'An admin has disabled you here. Your workspaces and files are kept. Ask an admin to enable you again.',
  },
  'unverified-email': {
    title: 'Your e-mail address is not verified',
    text: 'You are let in by your e-mail address, so it has to be verified. Verify it where you sign in, then try again.',
  },
  'rate-limited': {
    title: 'Too many attempts',
    text: 'Too many sign-ins came from your address. Wait a minute, then try again.',
  },
  invitation: {
    title: 'This invitation no longer works',
    text: 'It was used already, or was taken back, or is too old. Ask whoever sent it for another.',
  },
  taken: {
    title: 'This account belongs to someone else here',
    text: 'It is connected to another person already. Sign in with it and disconnect it there first, or choose another account.',
  },
}

export function loginError(code: string): LoginError {
  return (
    (Object.hasOwn(errors, code) ? errors[code] : undefined) ?? {
      title: 'You are not signed in',
      text: 'Something went wrong on the way. Try again, or choose another way.',
    }
  )
}
