import type { Workspace } from '@/api/types'
import { lastText, sleepText } from '@/lib/awake'
import { useNow } from '@/lib/hooks'

/** Why a workspace is awake and when it will sleep, in a line. */
export function SleepLine({ workspace }: { workspace: Workspace }) {
  const now = useNow()
  const texts = [sleepText(workspace, now), lastText(workspace, now)]
  return <>{texts.filter(Boolean).join(' — ')}</>
}
