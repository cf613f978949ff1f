/** What `burrow up` prints once it serves: where, the first key, and a line to paste. */

/** @param key the first API key, shown only now; null when there was one before */
export const announcement = (url: string, model: string, key: string | null): string => {
  const lines = [`\nBurrow is up: ${url}/v1 serves ${model}`]
  if (key !== null) lines.push(`\nYour API key, shown only now:\n\n  ${key}`)
  lines.push(
    '\nTry it:\n',
    `  curl ${url}/v1/chat/completions \\`,
    `    -H 'Authorization: Bearer ${key ?? 'YOUR_KEY'}' \\`,
    "    -H 'Content-Type: application/json' \\",
    `    -d '{"model": "${model}", "messages": [{"role": "user", "content": "3+5=?"}]}'`,
    '\nCtrl-C stops it.',
  )
  return `${lines.join('\n')}\n`
}
