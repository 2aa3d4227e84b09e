// In place of rehype-raw, which lets Markdown have HTML: what models write has none here, and the parser of HTML
// would be a third of what the chat loads.
export default function noHtml() {}
