// The console's policy forbids building code from text, and zod, with which the AI SDK checks what a stream sends,
// would try whether it may. To be imported before the SDK is.
import { config } from 'zod/v4/core'

config({ jitless: true })
