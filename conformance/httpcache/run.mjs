// Runs the suite's tests against a cache and prints, as JSON, the kind and the result of each.
// node run.mjs <folder of the suite> <base URL of the cache> [test id...]
import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import targeted from './targeted.mjs'

const [suite, base, ...ids] = process.argv.slice(2)
const load = file => import(pathToFileURL(path.join(suite, file)))

// The package of 2020 and the newer versions in the suite's repository are laid out differently.
const newer = fs.existsSync(path.join(suite, 'test-engine'))
const groups = [...(await load('tests/index.mjs')).default, targeted]
if (!newer) groups.push((await load('tests/surrogate-control.mjs')).default)
const { runTests, getResults } = await load(newer ? 'test-engine/client/runner.mjs' : 'client/runner.mjs')

const wanted = test => ids.length === 0 || ids.includes(test.id)
const chosen = groups.map(group => ({ ...group, tests: group.tests.filter(wanted) }))
console.log = () => {} // the suite's own remarks
if (newer) {
  await runTests(chosen, false, base, 100)
} else {
  const { default: fetch } = await import(
    pathToFileURL(path.join(suite, '..', 'node-fetch', 'lib', 'index.mjs'))
  )
  await runTests(chosen, fetch, false, base, 100)
}

const results = getResults()
const report = {}
for (const group of chosen) {
  for (const test of group.tests.filter(test => test.id in results)) {
    const result = results[test.id]
    report[test.id] = {
      group: group.id,
      kind: test.kind ?? 'required',
      passed: result === true,
      detail: result === true ? '' : result.join(': ')
    }
  }
}
process.stdout.write(JSON.stringify(report), () => process.exit(0))
