#!/usr/bin/env node
// What the public HTTP cache tests say: summary.mjs RESULTS.json SUITE_DIR EXPECTED.json [--update]
//
// RESULTS.json is what the suite's client printed, {test id: true | [kind of error, message]}; of the suite only its
// table of tests is read. EXPECTED.json names the tests that do not come out well, each with how:
//
//   fail, no   required and optimal tests fail; tests of kind "check" are questions, and the answer is no
//   depends    a test on which it depends did not come out well, so that it tells nothing
//   setup      what it prepares did not work       retry    the origin was asked twice, which a human shall judge
//   silent     no answer within the client's time  missing  the client did not tell
//
// A test that comes out worse or better than EXPECTED says is a failure of this run; --update writes EXPECTED anew.
// Left out: tests for browsers only. Kept apart: "targeted", tests of a header meant for caches like this one, which a
// cache need not know (CDN-Cache-Control; Surrogate-Control in the package of npm).

import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const KINDS = ['required', 'optimal', 'check']
const GROUPS = ['main', 'targeted']

const [resultsPath, suite, expectedPath, option] = process.argv.slice(2)
const results = JSON.parse(fs.readFileSync(resultsPath, 'utf8'))
const tests = await readTests(path.join(path.resolve(suite), 'tests'))
const outcomes = judgeAll()
tell()
process.exitCode = option === '--update' ? update() : compare()

async function readTests (directory) {
  const load = async file => (await import(pathToFileURL(path.join(directory, file)))).default
  const sections = [...await load('index.mjs')]
  const targeted = 'surrogate-control.mjs' // the package's client runs it, though its index does not name it
  const isApart = new Set()
  if (fs.existsSync(path.join(directory, targeted))) {
    sections.push(await load(targeted))
    isApart.add(sections.at(-1))
  }
  return new Map(sections.flatMap(section => section.tests.filter(test => !test.browser_only).map(test => [test.id, {
    id: test.id,
    section: section.id,
    kind: test.kind ?? 'required',
    group: test.cdn_only || isApart.has(section) ? 'targeted' : 'main',
    needs: test.depends_on ?? []
  }])))
}

// The suite's own precedence: a dependency, then the preparation, then the answer itself.
function judgeAll () {
  const known = new Map()
  const isGood = id => judge(id) === 'good'
  function judge (id) {
    if (!known.has(id)) {
      known.set(id, 'depends') // what depends on itself tells nothing
      known.set(id, outcome(tests.get(id), results[id]))
    }
    return known.get(id)
  }
  function outcome (test, result) {
    if (test === undefined || result === undefined) return 'missing'
    if (!test.needs.every(isGood)) return 'depends'
    if (result === true) return 'good'
    if (result[0] === 'Setup') return result[1] === 'retry' ? 'retry' : 'setup'
    if (result[0] === 'AbortError') return 'silent'
    return test.kind === 'check' ? 'no' : 'fail'
  }
  for (const id of tests.keys()) judge(id)
  return known
}

function why (test) {
  if (outcomes.get(test.id) === 'depends') return 'needs ' + test.needs.filter(id => outcomes.get(id) !== 'good').join(', ')
  const result = results[test.id]
  return Array.isArray(result) ? String(result[1]).replace(/\s+/g, ' ').slice(0, 200) : ''
}

function tell () {
  const all = [...tests.values()]
  const share = some => some.length === 0 ? '-' : `${some.filter(t => outcomes.get(t.id) === 'good').length}/${some.length}`
  const row = (name, some) => console.log(name.padEnd(24) + KINDS.map(kind => share(some.filter(t => t.kind === kind)).padStart(10)).join(''))
  console.log(''.padEnd(24) + KINDS.map(kind => kind.padStart(10)).join(''))
  for (const group of GROUPS) row(group, all.filter(t => t.group === group))
  for (const section of new Set(all.map(t => t.section))) row('  ' + section, all.filter(t => t.section === section))
  console.log('')
  for (const kind of KINDS) {
    for (const test of all.filter(t => t.kind === kind && outcomes.get(t.id) !== 'good')) {
      console.log(`${kind.padEnd(9)}${outcomes.get(test.id).padEnd(8)} ${test.id}: ${why(test)}`)
    }
  }
}

function update () {
  const lines = [...tests.keys()].filter(id => outcomes.get(id) !== 'good').sort().map(id => `  ${JSON.stringify(id)}: ${JSON.stringify(outcomes.get(id))}`)
  fs.writeFileSync(expectedPath, `{\n${lines.join(',\n')}\n}\n`)
  console.log(`\nwritten: ${expectedPath}`)
  return 0
}

function compare () {
  const expected = JSON.parse(fs.readFileSync(expectedPath, 'utf8'))
  const surprises = [...tests.keys()].filter(id => outcomes.get(id) !== (expected[id] ?? 'good'))
  const unknown = Object.keys(expected).filter(id => !tests.has(id))
  console.log('')
  for (const id of surprises) console.log(`unexpected: ${id}: ${outcomes.get(id)}, not ${expected[id] ?? 'good'} ${why(tests.get(id))}`)
  for (const id of unknown) console.log(`unexpected: ${id} is expected, and no test of the suite`)
  const failed = surprises.length + unknown.length
  console.log(`${tests.size - surprises.length} passed, ${failed} failed`)
  return failed > 0 ? 1 : 0
}
