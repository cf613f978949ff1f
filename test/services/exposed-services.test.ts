import { expect, test } from 'vitest'
import { parseExposedServices } from '../../backend/services/exposed-services.ts'
import {
  parseServiceOrigins,
  placeOf,
  placeOfHost,
} from '../../gateway/services/service-origins.ts'
import {
  boundToHost,
  cookieValues,
  withoutOwnCookies,
} from '../../gateway/services/service-cookies.ts'

const problemsOf = (item: string): string => {
  const problems: string[] = []
  parseExposedServices([item], problems)
  return problems.join('\n')
}

test('a service is a name and an origin', () => {
  const problems: string[] = []
  const services = parseExposedServices(
    ['a=http://127.0.0.1:8888', 'b-2=http://[::1]:1/'],
    problems,
  )
  expect([...services].map(([name, url]) => [name, url.host])).toEqual([
    ['a', '127.0.0.1:8888'],
    ['b-2', '[::1]:1'],
  ])
  expect(problems).toEqual([])
})

test('what cannot be published is refused with what to do', () => {
  expect(problemsOf('db=tcp://127.0.0.1:5432')).toContain('only http:// services')
  expect(problemsOf('db=tcp://127.0.0.1:5432')).toContain('for raw TCP use ssh or a VPN')
  expect(problemsOf('a=https://127.0.0.1')).toContain('only http:// services')
  expect(problemsOf('A=http://127.0.0.1')).toContain('1 to 63 of a-z, 0-9 and inner -')
  expect(problemsOf('a=http://127.0.0.1/x')).toContain('without path and user')
  expect(problemsOf('a=http://user@127.0.0.1')).toContain('without path and user')
  expect(problemsOf('a')).toContain('NAME=http://127.0.0.1:PORT')
})

test('a gateway has places by host and by port', () => {
  const problems: string[] = []
  const origins = parseServiceOrigins('https://apps.example.com', ['nb=9001'], problems)
  expect(problems).toEqual([])
  expect(placeOf(origins, 'nb', 'http://127.0.0.1:8080')?.origin.href).toBe(
    'http://127.0.0.1:9001/',
  )
  expect(placeOf(origins, 'g', 'http://127.0.0.1:8080')?.origin.href).toBe(
    'https://g.apps.example.com/',
  )
  expect(placeOfHost(origins, 'g.apps.example.com:443')?.service).toBe('g')
  expect(placeOfHost(origins, 'apps.example.com')).toBe(null)
  expect(placeOfHost(origins, 'g.apps.example.com.evil.test')).toBe(null)

  for (const [domain, port] of [
    ['apps.example.com', 'nb=1'],
    ['https://apps.example.com/x', 'nb=1'],
    ['https://127.0.0.1', 'nb=1'],
    [undefined, 'nb'],
    [undefined, 'nb=70000'],
  ] as const) {
    const found: string[] = []
    parseServiceOrigins(domain, [port], found)
    expect(found).toHaveLength(1)
  }
})

test('cookies of the gateway and of the service are kept apart', () => {
  expect(withoutOwnCookies('a=1; burrow-service-x=s; __Host-burrow-service-x=t;b=2')).toBe(
    'a=1; b=2',
  )
  expect(withoutOwnCookies('BURROW-admin=1')).toBe(null)
  expect(cookieValues('x=1; y=2;x=3', 'x')).toEqual(['1', '3'])
  expect(boundToHost('a=1; DOMAIN=example.com; Path=/')).toBe('a=1; Path=/')
  expect(boundToHost(' __Host-burrow-service-x=1; Path=/')).toBe(null)
  expect(boundToHost('domain=1; Path=/')).toBe('domain=1; Path=/')
})
