// Talk to yaml-language-server as an editor does, and print what it says, as JSON.
// node server.mjs SCHEMA < requests.json      [{"text": "…"} | {"text": "…", "complete": [line, column]} | {…, "hover": …}]
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const load = createRequire(`${process.cwd()}/`)
const program = load.resolve('yaml-language-server/bin/yaml-language-server')
const server = spawn(process.execPath, [program, '--stdio'], { stdio: ['pipe', 'pipe', 'inherit'] })
const waiting = new Map()
const found = new Map()
let number = 0
let unread = Buffer.alloc(0)

const send = (message) => {
  const body = Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...message }))
  server.stdin.write(`Content-Length: ${body.length}\r\n\r\n`)
  server.stdin.write(body)
}
const ask = (method, params) => new Promise((resolve) => {
  waiting.set(++number, resolve)
  send({ id: number, method, params })
})
const settings = {
  yaml: {
    schemas: { [pathToFileURL(process.argv[2]).href]: '*' },
    validate: true, hover: true, completion: true, schemaStore: { enable: false },
  },
}

function take (message) {
  if (message.method === 'workspace/configuration') {
    const of = { yaml: settings.yaml, http: {}, '[yaml]': {}, editor: {}, files: {} }
    send({ id: message.id, result: message.params.items.map((item) => of[item.section] ?? {}) })
  } else if (message.method === 'textDocument/publishDiagnostics') {
    found.get(message.params.uri)?.(message.params.diagnostics)
  } else if (message.method !== undefined && message.id !== undefined) {
    send({ id: message.id, result: null })
  } else if (message.id !== undefined) {
    waiting.get(message.id)(message.result)
  }
}

server.stdout.on('data', (chunk) => {
  unread = Buffer.concat([unread, chunk])
  for (;;) {
    const head = unread.indexOf('\r\n\r\n')
    if (head < 0) return
    const length = Number(/Content-Length: (\d+)/.exec(unread.subarray(0, head))[1])
    if (unread.length < head + 4 + length) return
    const body = unread.subarray(head + 4, head + 4 + length)
    unread = unread.subarray(head + 4 + length)
    take(JSON.parse(body))
  }
})

async function answer (request, at) {
  const uri = `file:///w/${at}.yaml`
  const diagnostics = new Promise((resolve) => found.set(uri, resolve))
  send({
    method: 'textDocument/didOpen',
    params: { textDocument: { uri, languageId: 'yaml', version: 1, text: request.text } },
  })
  const problems = await diagnostics
  const [line, character] = request.complete ?? request.hover ?? [0, 0]
  const place = { textDocument: { uri }, position: { line, character } }
  if (request.complete) return (await ask('textDocument/completion', place)).items
  if (request.hover) return (await ask('textDocument/hover', place))?.contents?.value ?? null
  return problems
}

await ask('initialize', {
  processId: process.pid, rootUri: null,
  capabilities: {
    textDocument: { completion: { completionItem: { snippetSupport: true } }, publishDiagnostics: {} },
    workspace: { configuration: true },
  },
})
send({ method: 'initialized', params: {} })
send({ method: 'workspace/didChangeConfiguration', params: { settings } })
const answers = []
for (const [at, request] of JSON.parse(readFileSync(0, 'utf8')).entries()) answers.push(await answer(request, at))
console.log(JSON.stringify(answers))
server.kill()
