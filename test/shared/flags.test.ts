import { expect, test } from 'vitest'
import { flagsOf, flagUsage, listItems, readFlag, type FlagTable } from '../../shared/flags.ts'

const table = {
  'cache-size': { value: 'SIZE', help: 'how much', fallback: '4G', commands: ['serve'] },
  name: { value: 'NAME', help: 'whose', variable: 'none', commands: ['make'] },
  json: { help: 'for machines', variable: 'none', commands: ['make', 'serve'] },
  model: { value: 'NAME', help: 'what', isList: true, commands: ['make'] },
} as const satisfies FlagTable

test('a flag wins over its variable, and what is empty was not given', () => {
  const read = (flags: object, env: object) =>
    readFlag(table, 'cache-size', { ...flags }, { ...env })
  expect(read({ 'cache-size': '1G' }, { BURROW_CACHE_SIZE: '2G' })).toBe('1G')
  expect(read({ 'cache-size': '' }, { BURROW_CACHE_SIZE: '2G' })).toBe('2G')
  expect(read({}, { BURROW_CACHE_SIZE: '' })).toBeUndefined()
  expect(readFlag(table, 'name', {}, { BURROW_NAME: 'me' })).toBeUndefined()
})

test('a command has the flags that name it', () => {
  expect(flagsOf(table, 'serve').map(([name]) => name)).toEqual(['cache-size', 'json'])
})

test('the usage has a line for each flag, with its variable and what holds without', () => {
  expect(flagUsage([table, { json: table.json }])).toBe(
    [
      '  --cache-size SIZE              how much (BURROW_CACHE_SIZE, 4G)\n',
      '  --name NAME                    whose\n',
      '  --json                         for machines\n',
      '  --model NAME                   what (several times, BURROW_MODEL)\n',
    ].join(''),
  )
})

test('a list has spaces between its items', () => {
  expect(listItems(' a  b\nc ')).toEqual(['a', 'b', 'c'])
  expect(listItems(undefined)).toEqual([])
})
