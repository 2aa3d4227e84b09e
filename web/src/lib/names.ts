const adjectives =
  'amber brisk calm clever copper dawn early gentle lucid lunar mellow nimble quiet swift vivid warm'
const nouns =
  'atlas beacon brook canyon cedar comet delta ember forge harbor lantern meadow orchard pebble ridge willow'

/** Suggests a name that is not among `taken`, if one turns up. */
export function suggestName(taken: string[], random: () => number = Math.random): string {
  const pick = (words: string) => {
    const list = words.split(' ')
    return list[Math.floor(random() * list.length)]
  }
  let name = ''
  for (let i = 0; i < 20; i++) {
    name = `${pick(adjectives)}-${pick(nouns)}`
    if (!taken.includes(name)) break
  }
  return name
}
