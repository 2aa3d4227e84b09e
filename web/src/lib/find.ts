/** Whether each word of what was asked for is in one of the texts, in whatever case. As the server's. */
export function hasWords(words: string, ...texts: (string | undefined)[]): boolean {
  const all = texts.join('\n').toLowerCase()
  return words
    .toLowerCase()
    .split(/\s+/)
    .every((word) => all.includes(word))
}
