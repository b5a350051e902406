// Judge documents with ajv in its strictest mode: a list of JSON documents on stdin, a list of what each lacks on stdout.
// node strict.mjs SCHEMA < documents.json
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'

const load = createRequire(`${process.cwd()}/`)
const Ajv = load('ajv/dist/2020').default
const schema = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const validate = new Ajv({ strict: true, strictTypes: false, strictRequired: false }).compile(schema)
const documents = JSON.parse(readFileSync(0, 'utf8'))
const faults = documents.map((each) => (validate(each) ? null : JSON.stringify(validate.errors.slice(0, 3))))
console.log(JSON.stringify(faults))
